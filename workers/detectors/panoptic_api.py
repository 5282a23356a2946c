"""The names mmdet needs of `panopticapi`, which is not on PyPI (Kirillov et al., Panoptic Segmentation, CVPR 2019)."""

from __future__ import annotations

import importlib.util
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

VOID = 0  # id of an unlabelled pixel
OFFSET = 256**3  # one more than the highest id


def rgb2id(colour: NDArray[Any]) -> NDArray[np.int32]:
    """(H, W, 3) colours to (H, W) ids: R + 256 G + 65536 B."""
    c = np.asarray(colour).astype(np.int32)
    ids: NDArray[np.int32] = c[..., 0] + 256 * c[..., 1] + 65536 * c[..., 2]
    return ids


def id2rgb(ids: Any) -> Any:
    """Ids of any shape to colours with a last axis of three; one id to a list of three numbers."""
    if isinstance(ids, np.ndarray):
        return np.stack([ids % 256, ids // 256 % 256, ids // 65536 % 256], axis=-1).astype(np.uint8)
    return [ids % 256, ids // 256 % 256, ids // 65536 % 256]


@dataclass(slots=True)
class PQStatCat:
    """Sums of one class: matched overlap, hits, false alarms, misses."""

    iou: float = 0.0
    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __iadd__(self, other: PQStatCat) -> PQStatCat:
        self.iou, self.tp, self.fp, self.fn = (
            self.iou + other.iou,
            self.tp + other.tp,
            self.fp + other.fp,
            self.fn + other.fn,
        )
        return self


class PQStat:
    """Sums by class, and the panoptic quality they give."""

    def __init__(self) -> None:
        self.pq_per_cat: defaultdict[int, PQStatCat] = defaultdict(PQStatCat)

    def __getitem__(self, category: int) -> PQStatCat:
        return self.pq_per_cat[category]

    def __setitem__(self, category: int, stat: PQStatCat) -> None:
        self.pq_per_cat[category] = stat

    def __iadd__(self, other: PQStat) -> PQStat:
        for category, stat in other.pq_per_cat.items():
            self.pq_per_cat[category] += stat
        return self

    def pq_average(
        self, categories: Mapping[int, Mapping[str, Any]], isthing: bool | None
    ) -> tuple[dict[str, float], dict[int, dict[str, float]]]:
        """Means over the classes that occur (things, stuff, or both for None), and each class's own.

        PQ = SQ x RQ: the mean overlap of the matches times an F1 score of the matching.
        """
        per_class: dict[int, dict[str, float]] = {}
        seen: list[dict[str, float]] = []
        for label, info in categories.items():
            if isthing is not None and isthing != (info["isthing"] == 1):
                continue
            s = self.pq_per_cat[label]
            if s.tp + s.fp + s.fn == 0:
                per_class[label] = {"pq": 0.0, "sq": 0.0, "rq": 0.0}
                continue
            weight = s.tp + 0.5 * s.fp + 0.5 * s.fn
            per_class[label] = {"pq": s.iou / weight, "sq": s.iou / s.tp if s.tp else 0.0, "rq": s.tp / weight}
            seen.append(per_class[label])
        n = len(seen)
        mean = {name: sum(c[name] for c in seen) / n if n else 0.0 for name in ("pq", "sq", "rq")}
        return mean | {"n": n}, per_class


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
