"""A replacement for the parts of `panopticapi` that mmdet imports. That package is not on PyPI.

See Kirillov et al., Panoptic Segmentation, CVPR 2019.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from workers.data.panoptic_ids import id2rgb, rgb2id
from workers.metrics.panoptic_quality import PQStat

__all__ = ["OFFSET", "VOID", "PQStat", "id2rgb", "install", "rgb2id"]

VOID = 0  # id of an unlabelled pixel
OFFSET = 256**3  # one more than the highest id


def install() -> None:
    """Make `panopticapi` importable in this process unless the package is installed. May be called repeatedly."""
    if "panopticapi" in sys.modules or importlib.util.find_spec("panopticapi") is not None:
        return
    package, evaluation, colours = (ModuleType(f"panopticapi{part}") for part in ("", ".evaluation", ".utils"))
    package.__path__ = []  # marks a package for the import system
    this_module = sys.modules[__name__]
    for module, names in ((evaluation, ("VOID", "OFFSET", "PQStat")), (colours, ("rgb2id", "id2rgb"))):
        for name in names:
            setattr(module, name, getattr(this_module, name))
    package.evaluation, package.utils = evaluation, colours  # type: ignore[attr-defined]
    for module in (package, evaluation, colours):
        sys.modules[module.__name__] = module
