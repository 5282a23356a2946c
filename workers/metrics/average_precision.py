"""COCO's average precision of boxes and masks, computed in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from workers.data.base import Vocabulary
from workers.errors import BadDataFailure
from workers.metrics.base import Metric
from workers.metrics.coco_evaluation import evaluate_coco
from workers.targets.objects import Detections, GroundTruth, ObjectTargets

# The first entries of COCOeval.stats. Those by object area are -1 if a data set has no objects of that size.
_STATS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


class AveragePrecision(Metric):
    """COCO's average precision of boxes, masks or both: box_ap, box_ap50, mask_ap and so on."""

    def __init__(self, vocabulary: Vocabulary, kinds: tuple[str, ...]) -> None:
        """Create the metric. kinds: "box", "mask" or both."""
        self._kinds = kinds
        self._categories = [{"id": i, "name": name} for i, name in enumerate(vocabulary.classes[: vocabulary.things])]
        self._images: list[dict[str, Any]] = []
        self._truth: list[dict[str, Any]] = []
        self._results: list[dict[str, Any]] = []

    def update(self, output: list[Detections], target: ObjectTargets) -> None:
        """Add the detections of a batch, and its targets."""
        for detections, truth in zip(output, target.truths, strict=True):
            image = len(self._images) + 1
            height, width = truth.size
            self._images.append({"id": image, "height": height, "width": width})
            self._add_truth(truth, image)
            self._add_results(detections, image)

    def _add_results(self, detections: Detections, image: int) -> None:
        for i in range(len(detections.scores)):
            entry: dict[str, Any] = {
                "image_id": image,
                "category_id": int(detections.labels[i]),
                "score": float(detections.scores[i]),
            }
            entry["bbox"] = _to_xywh(detections.boxes[i])
            if detections.rles:
                entry["segmentation"] = detections.rles[i]
            self._results.append(entry)

    def _add_truth(self, truth: GroundTruth, image: int) -> None:
        for i in range(len(truth.labels)):
            entry: dict[str, Any] = {"id": len(self._truth) + 1, "image_id": image, "category_id": int(truth.labels[i])}
            entry |= {"bbox": _to_xywh(truth.boxes[i]), "area": float(truth.areas[i]), "iscrowd": int(truth.crowd[i])}
            if truth.rles:
                entry["segmentation"] = truth.rles[i]
            self._truth.append(entry)

    def compute(self) -> dict[str, float]:
        """Return the metrics. Raises BadDataFailure if no object is annotated."""
        if not any(not entry["iscrowd"] for entry in self._truth):
            raise BadDataFailure("the held-out images have no objects: check the annotations")
        metrics: dict[str, float] = {}
        for kind in self._kinds:
            stats = self._stats("bbox" if kind == "box" else "segm")
            metrics |= {f"{kind}_{n}": float(s) for n, s in zip(_STATS, stats, strict=True) if s >= 0}
        return metrics

    def _stats(self, kind: str) -> Any:
        if not self._results:  # loadRes refuses an empty list
            return np.zeros(len(_STATS))
        # loadRes takes a result's area from its box if it has one, so only one kind is passed at a time.
        keys = ("image_id", "category_id", "score", "bbox" if kind == "bbox" else "segmentation")
        results = [{key: entry[key] for key in keys} for entry in self._results]
        truth = {"images": self._images, "annotations": self._truth, "categories": self._categories}
        return evaluate_coco(truth, results, kind).stats[: len(_STATS)]


def _to_xywh(box: Any) -> list[float]:
    x0, y0, x1, y1 = (float(v) for v in box)
    return [x0, y0, x1 - x0, y1 - y0]
