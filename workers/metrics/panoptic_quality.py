"""Panoptic quality (Kirillov et al., Panoptic Segmentation, CVPR 2019), as panopticapi computes it, in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.data.base import VOID, Vocabulary
from workers.metrics.base import Metric
from workers.targets.objects import Found, Scenes

Map = NDArray[np.int32]


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


class PanopticQuality(Metric):
    """PQ, SQ and RQ over all classes, and PQ over things and over stuff."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._stat = PQStat()
        self._categories = {
            i: {"name": name, "isthing": int(i < vocabulary.things)} for i, name in enumerate(vocabulary.classes)
        }

    def update(self, output: list[Found], target: Scenes) -> None:
        """Add a batch."""
        for found, scene in zip(output, target.scenes, strict=True):
            assert found.panoptic is not None
            assert scene.truth.panoptic is not None
            self._stat += match(scene.truth.panoptic, scene.truth.crowds, found.panoptic)

    def compute(self) -> dict[str, float]:
        """In 0..1."""
        both, things, stuff = (self._stat.pq_average(self._categories, which)[0] for which in (None, True, False))
        return {
            "pq": both["pq"],
            "sq": both["sq"],
            "rq": both["rq"],
            "pq_things": things["pq"],
            "pq_stuff": stuff["pq"],
        }


def match(truth: Map, crowds: frozenset[int], said: Map) -> PQStat:
    """The matching of one image: segments of a class match where they overlap by more than half of their union.

    truth, said: (H, W), class * 1000 + number; -1 for void, which neither hits nor misses.
    """
    stat = PQStat()
    truth_area, said_area = _areas(truth), _areas(said)
    pairs, counts = np.unique(np.stack([truth.ravel(), said.ravel()]), axis=1, return_counts=True)
    overlap = {(int(t), int(s)): int(n) for t, s, n in zip(pairs[0], pairs[1], counts, strict=True)}
    truth_done, said_done = set[int](), set[int]()
    for (t, s), shared in overlap.items():
        if t < 0 or s < 0 or t in crowds or t // 1000 != s // 1000:
            continue
        union = said_area[s] + truth_area[t] - shared - overlap.get((-1, s), 0)
        iou = shared / union
        if iou > 0.5:
            stat[t // 1000] += PQStatCat(iou=iou, tp=1)
            truth_done.add(t)
            said_done.add(s)
    for t in truth_area.keys() - truth_done - crowds:
        stat[t // 1000].fn += 1
    crowd_of = {t // 1000: t for t in truth_area if t in crowds}
    for s in said_area.keys() - said_done:
        ignored = overlap.get((-1, s), 0)
        if s // 1000 in crowd_of:
            ignored += overlap.get((crowd_of[s // 1000], s), 0)
        if ignored / said_area[s] <= 0.5:  # what lies mostly on void or on a crowd is no false alarm
            stat[s // 1000].fp += 1
    return stat


def _areas(ids: Map) -> dict[int, int]:
    values, counts = np.unique(ids, return_counts=True)
    return {int(v): int(n) for v, n in zip(values, counts, strict=True) if v >= 0}


class PanopticOverlap(Metric):
    """Mean IoU over things and stuff of a panoptic map; what it leaves open counts as wrong."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._classes = len(vocabulary.classes)
        self._confusion = np.zeros((self._classes, self._classes + 1), dtype=np.int64)

    def update(self, output: list[Found], target: Scenes) -> None:
        """Add a batch."""
        for found, scene in zip(output, target.scenes, strict=True):
            assert found.panoptic is not None
            assert scene.truth.semantic is not None
            known = scene.truth.semantic != VOID
            truth = scene.truth.semantic[known].astype(np.int64)
            said = np.where(found.panoptic < 0, self._classes, found.panoptic // 1000)[known]
            flat = np.bincount(truth * (self._classes + 1) + said, minlength=self._confusion.size)
            self._confusion += flat.reshape(self._confusion.shape)

    def compute(self) -> dict[str, float]:
        """Classes absent from the annotations do not count."""
        table = self._confusion.astype(np.float64)
        hits, truth, said = np.diag(table), table.sum(1), table[:, : self._classes].sum(0)
        present = truth > 0
        iou = hits[present] / (truth + said - hits)[present]
        return {"miou": float(iou.mean()), "pixel_accuracy": float(hits.sum() / truth.sum())}
