"""Average precision of boxes and masks, by COCO's own rules, over what is in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from workers.data.base import Vocabulary
from workers.errors import BadDataFailure
from workers.metrics.base import Metric
from workers.metrics.coco_evaluation import judge
from workers.targets.objects import Found, Scenes, Truth

# Entries of COCOeval.stats; the small, medium and large ones by area are -1 where a set has no such objects.
_STATS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


class AveragePrecision(Metric):
    """COCO's average precision. kinds: of "box" and "mask", metrics being named box_ap, mask_ap50 and so on."""

    def __init__(self, vocabulary: Vocabulary, kinds: tuple[str, ...]) -> None:
        self._kinds = kinds
        self._categories = [{"id": i, "name": name} for i, name in enumerate(vocabulary.classes[: vocabulary.things])]
        self._images: list[dict[str, Any]] = []
        self._truth: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []

    def update(self, output: list[Found], target: Scenes) -> None:
        """Add a batch."""
        for found, scene in zip(output, target.scenes, strict=True):
            image = len(self._images) + 1
            height, width = scene.truth.size
            self._images.append({"id": image, "height": height, "width": width})
            self._add_truth(scene.truth, image)
            for i in range(len(found.scores)):
                entry: dict[str, Any] = {
                    "image_id": image,
                    "category_id": int(found.labels[i]),
                    "score": float(found.scores[i]),
                }
                entry["bbox"] = _xywh(found.boxes[i])
                if found.rles:
                    entry["segmentation"] = found.rles[i]
                self._found.append(entry)

    def _add_truth(self, truth: Truth, image: int) -> None:
        for i in range(len(truth.labels)):
            entry: dict[str, Any] = {"id": len(self._truth) + 1, "image_id": image, "category_id": int(truth.labels[i])}
            entry |= {"bbox": _xywh(truth.boxes[i]), "area": float(truth.areas[i]), "iscrowd": int(truth.crowd[i])}
            if truth.rles:
                entry["segmentation"] = truth.rles[i]
            self._truth.append(entry)

    def compute(self) -> dict[str, float]:
        """Raises BadDataFailure where there is nothing to be found."""
        if not any(not entry["iscrowd"] for entry in self._truth):
            raise BadDataFailure("the held-out images have no objects: check the annotations")
        metrics: dict[str, float] = {}
        for kind in self._kinds:
            stats = self._stats("bbox" if kind == "box" else "segm")
            metrics |= {f"{kind}_{n}": float(s) for n, s in zip(_STATS, stats, strict=True) if s >= 0}
        return metrics

    def _stats(self, kind: str) -> Any:
        if not self._found:  # loadRes refuses an empty list
            return np.zeros(len(_STATS))
        # loadRes would take a box's area from the box and a mask's from the mask: one kind at a time.
        wanted = ("image_id", "category_id", "score", "bbox" if kind == "bbox" else "segmentation")
        found = [{name: entry[name] for name in wanted} for entry in self._found]
        truth = {"images": self._images, "annotations": self._truth, "categories": self._categories}
        return judge(truth, found, kind).stats[: len(_STATS)]


def _xywh(box: Any) -> list[float]:
    x0, y0, x1, y1 = (float(v) for v in box)
    return [x0, y0, x1 - x0, y1 - y0]
