"""The names mmdet needs of `panopticapi`, which is not on PyPI (Kirillov et al., Panoptic Segmentation, CVPR 2019)."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from workers.data.panoptic_ids import id2rgb, rgb2id
from workers.metrics.panoptic_quality import PQStat

__all__ = ["OFFSET", "VOID", "PQStat", "id2rgb", "rgb2id", "serve"]

VOID = 0  # id of an unlabelled pixel
OFFSET = 256**3  # one more than the highest id


def serve() -> None:
    """Provide `panopticapi` in this process unless it is installed. Safe to call again."""
    if "panopticapi" in sys.modules or importlib.util.find_spec("panopticapi") is not None:
        return
    package, evaluation, colours = (ModuleType(f"panopticapi{part}") for part in ("", ".evaluation", ".utils"))
    package.__path__ = []  # a package, to the import system
    here = sys.modules[__name__]
    for module, names in ((evaluation, ("VOID", "OFFSET", "PQStat")), (colours, ("rgb2id", "id2rgb"))):
        for name in names:
            setattr(module, name, getattr(here, name))
    package.evaluation, package.utils = evaluation, colours  # type: ignore[attr-defined]
    for module in (package, evaluation, colours):
        sys.modules[module.__name__] = module
