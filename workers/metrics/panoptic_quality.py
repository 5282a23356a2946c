"""Panoptic quality (Kirillov et al., Panoptic Segmentation, CVPR 2019), in memory, equal to panopticapi's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.data.base import VOID, Vocabulary
from workers.metrics.base import Metric
from workers.metrics.class_counts import ClassCounts
from workers.targets.objects import Detections, ObjectTargets

PanopticIds = NDArray[np.int32]


@dataclass(slots=True)
class PQStatCat:
    """Sums over one class: IoU of matched segments, true positives, false positives, false negatives."""

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
    """Sums by class, and the panoptic quality computed from them. The interface is panopticapi's."""

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
        """Return the means over the classes that occur, and the values of each class.

        isthing: average over things (True), stuff (False) or both (None).
        PQ = SQ x RQ: mean IoU of the matched segments times the F1 score of the matching.
        """
        per_class: dict[int, dict[str, float]] = {}
        occurring: list[dict[str, float]] = []
        for label, info in categories.items():
            if isthing is not None and isthing != (info["isthing"] == 1):
                continue
            s = self.pq_per_cat[label]
            if s.tp + s.fp + s.fn == 0:
                per_class[label] = {"pq": 0.0, "sq": 0.0, "rq": 0.0}
                continue
            weight = s.tp + 0.5 * s.fp + 0.5 * s.fn
            per_class[label] = {"pq": s.iou / weight, "sq": s.iou / s.tp if s.tp else 0.0, "rq": s.tp / weight}
            occurring.append(per_class[label])
        n = len(occurring)
        mean = {name: sum(c[name] for c in occurring) / n if n else 0.0 for name in ("pq", "sq", "rq")}
        return mean | {"n": n}, per_class


class PanopticQuality(Metric):
    """PQ, SQ and RQ over all classes, and PQ over things and over stuff."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._stat = PQStat()
        self._categories = {
            i: {"name": name, "isthing": int(i < vocabulary.things)} for i, name in enumerate(vocabulary.classes)
        }

    def update(self, output: list[Detections], target: ObjectTargets) -> None:
        """Add the detections of a batch, and its targets."""
        for detections, truth in zip(output, target.truths, strict=True):
            assert detections.panoptic is not None
            assert truth.panoptic is not None
            self._stat += match_segments(truth.panoptic, truth.crowds, detections.panoptic)

    def compute(self) -> dict[str, float]:
        """Return the metrics, 0 to 1."""
        both, things, stuff = (self._stat.pq_average(self._categories, which)[0] for which in (None, True, False))
        return {
            "pq": both["pq"],
            "sq": both["sq"],
            "rq": both["rq"],
            "pq_things": things["pq"],
            "pq_stuff": stuff["pq"],
        }


def match_segments(truth: PanopticIds, crowds: frozenset[int], predicted: PanopticIds) -> PQStat:
    """Match the segments of one image: two of the same class match if their IoU is above one half.

    truth, predicted: (H, W), class * 1000 + number; -1 for void, which is ignored. crowds: ids of crowds in `truth`.
    """
    stat, overlap = PQStat(), _overlaps(truth, predicted)
    true_areas, predicted_areas = defaultdict[int, int](int), defaultdict[int, int](int)
    for (t, p), shared in overlap.items():
        if t >= 0:
            true_areas[t] += shared
        if p >= 0:
            predicted_areas[p] += shared
    matched_true, matched_predicted = set[int](), set[int]()
    for (t, p), shared in overlap.items():
        if t < 0 or p < 0 or t in crowds or t // 1000 != p // 1000:
            continue
        union = predicted_areas[p] + true_areas[t] - shared - overlap.get((-1, p), 0)
        iou = shared / union
        if iou > 0.5:
            stat[t // 1000] += PQStatCat(iou=iou, tp=1)
            matched_true.add(t)
            matched_predicted.add(p)
    for t in true_areas.keys() - matched_true - crowds:
        stat[t // 1000].fn += 1
    crowd_of_class = {t // 1000: t for t in true_areas if t in crowds}
    for p in predicted_areas.keys() - matched_predicted:
        ignored = overlap.get((-1, p), 0)
        if p // 1000 in crowd_of_class:
            ignored += overlap.get((crowd_of_class[p // 1000], p), 0)
        if ignored / predicted_areas[p] <= 0.5:  # a segment that is mostly on void or a crowd is no false positive
            stat[p // 1000].fp += 1
    return stat


def _overlaps(truth: PanopticIds, predicted: PanopticIds) -> dict[tuple[int, int], int]:
    """Return the number of pixels of each pair of ids that occurs.

    Both ids become one 64-bit key, and pixels are counted by runs of equal keys: few keys are sorted instead of all
    pixels.
    """
    keys = (truth.astype(np.int64) << 32 | predicted.astype(np.int64) & 0xFFFFFFFF).ravel()
    starts = np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1])
    lengths = np.diff(starts, append=keys.size)
    pairs, which = np.unique(keys[starts], return_inverse=True)
    counts = np.bincount(which.ravel(), weights=lengths).astype(np.int64)
    ids = np.stack([pairs >> 32, pairs.astype(np.int32).astype(np.int64)], 1)
    return {(t, p): n for (t, p), n in zip(ids.tolist(), counts.tolist(), strict=True)}


class PanopticMeanIoU(Metric):
    """Mean IoU over things and stuff, computed from panoptic maps; pixels without a prediction count as wrong."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._classes = len(vocabulary.classes)
        self._counts = ClassCounts(self._classes, ignored=VOID)

    def update(self, output: list[Detections], target: ObjectTargets) -> None:
        """Add the detections of a batch, and its targets."""
        for detections, annotated in zip(output, target.truths, strict=True):
            assert detections.panoptic is not None
            assert annotated.semantic is not None
            predicted = np.where(detections.panoptic < 0, self._classes, detections.panoptic // 1000)
            self._counts.update(annotated.semantic, predicted)

    def compute(self) -> dict[str, float]:
        """Return the metrics. Classes absent from the annotations do not count."""
        return {"miou": self._counts.iou()["miou"], "pixel_accuracy": self._counts.accuracy()}
