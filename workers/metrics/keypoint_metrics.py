"""Keypoint metrics: PCK relative to torso or box, PCKh, and the AP of object keypoint similarity (OKS)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.data.base import Vocabulary
from workers.data.joint_names import head_segment, torso
from workers.metrics.base import Metric
from workers.metrics.coco_evaluation import evaluate_coco
from workers.targets.people import PersonCrops

_UNIFORM_SIGMA = 0.05  # for joints without sigmas; COCO's sigmas are between 0.025 and 0.107


class KeypointMetric(Metric):
    """PCK and OKS AP over all people.

    `pck` (at 0.2): share of labelled joints with an error of at most a fifth of the person's torso length (left
    shoulder to right hip), or of the longer side of the person's box if these two joints are not both labelled.
    `pck_torso`, `pck_box`: the same over the joints measured by torso and by box; missing if there are none.
    `pckh` (at 0.5): share of joints with an error of at most half the head segment, over the people whose head segment
    is labelled; missing if there are none.
    `oks_ap`, `oks_ap50`: COCO's keypoint AP. Since boxes are given, a person's score is the mean score of its joints.
    Both are 0 if no joint is labelled.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._torso, self._head = torso(vocabulary.joints), head_segment(vocabulary.joints)
        self._sigmas = vocabulary.sigmas or (_UNIFORM_SIGMA,) * len(vocabulary.joints)
        self._predictions: list[Tensor] = []
        self._crops: list[PersonCrops] = []

    def update(self, output: Tensor, target: PersonCrops) -> None:
        """Add a batch. output: (N, J, 5) x and y in the input, x and y in the image, score."""
        self._predictions.append(output[..., 2:].float().cpu())
        self._crops.append(target.to("cpu"))

    def compute(self) -> dict[str, float]:
        """Return the metrics."""
        predicted = torch.cat(self._predictions)
        joints = torch.cat([_joints_in_image(crops) for crops in self._crops])
        box, area, image = (torch.cat([getattr(c, name) for c in self._crops]) for name in ("box", "area", "image"))
        rows = zip(joints.numpy(), box.tolist(), area.tolist(), image.tolist(), strict=True)
        truth = [_to_annotation(*row) for row in rows]
        return self._pck(predicted[..., :2], joints, box) | oks_ap(truth, predicted.numpy(), self._sigmas)

    def _pck(self, predicted: Tensor, joints: Tensor, box: Tensor) -> dict[str, float]:
        labelled = joints[..., 2] > 0
        error = torch.linalg.vector_norm(predicted - joints[..., :2], dim=-1)
        length = _distance(joints, self._torso)
        by_torso = (length > 0)[:, None] & labelled
        by_box = labelled & ~by_torso
        near = error <= 0.2 * torch.where(length > 0, length, box[:, 2:].amax(1))[:, None]
        metrics = {"pck": _share(near, labelled)}
        for name, joints_measured in (("pck_torso", by_torso), ("pck_box", by_box)):
            if joints_measured.any():
                metrics[name] = _share(near, joints_measured)
        head = _distance(joints, self._head)[:, None]
        if bool((by_head := (head > 0) & labelled).any()):
            metrics["pckh"] = _share(error <= 0.5 * head, by_head)
        return metrics


def _joints_in_image(crops: PersonCrops) -> Tensor:
    """Return (N, J, 3) annotated joints: x and y in the image, visibility."""
    return torch.cat([crops.to_image_pixels(crops.joints[..., :2]), crops.joints[..., 2:]], -1)


def _distance(joints: Tensor, pair: tuple[int, int] | None) -> Tensor:
    """Return (N,) distances between two joints, 0 where they are not both labelled."""
    if pair is None:
        return torch.zeros(len(joints))
    a, b = joints[:, pair[0]], joints[:, pair[1]]
    length = torch.linalg.vector_norm((a - b)[:, :2], dim=-1)
    return torch.where((a[:, 2] > 0) & (b[:, 2] > 0), length, 0.0)


def _share(good: Tensor, counted: Tensor) -> float:
    """Return the share of `counted` entries that are also `good`."""
    return float((good & counted).sum() / counted.sum().clamp(min=1))


def _to_annotation(joints: NDArray[np.float32], box: list[float], area: float, image: int) -> dict[str, Any]:
    """Return a person's annotation in COCO's format."""
    count = int((joints[:, 2] > 0).sum())
    flat = [float(value) for value in joints.ravel()]
    labels = {"category_id": 1, "iscrowd": 0, "num_keypoints": count, "keypoints": flat}
    return labels | {"image_id": image, "bbox": box, "area": area}


def oks_ap(truth: list[dict[str, Any]], predicted: NDArray[np.float32], sigmas: tuple[float, ...]) -> dict[str, float]:
    """Return COCO's keypoint AP: mean over OKS thresholds .5 to .95, and at .5.

    truth: annotations of N people. predicted: (N, J, 3) x, y and score of their joints.
    """
    if not any(person["num_keypoints"] for person in truth):
        return {"oks_ap": 0.0, "oks_ap50": 0.0}
    results = [
        {
            "image_id": person["image_id"],
            "category_id": 1,
            "keypoints": [float(value) for value in points.ravel()],
            "score": float(points[:, 2].mean()),
        }
        for person, points in zip(truth, predicted, strict=True)
    ]
    dataset = {
        "images": [{"id": image} for image in sorted({person["image_id"] for person in truth})],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [{"id": i + 1} | person for i, person in enumerate(truth)],
    }
    every_area = {"areaRng": [[0, 1e10]], "areaRngLbl": ["all"]}
    evaluation = evaluate_coco(dataset, results, "keypoints", kpt_oks_sigmas=np.array(sigmas), **every_area)
    precision = evaluation.eval["precision"]  # (10 thresholds, 101 recalls, 1 class, 1 area, 1 limit)
    return {"oks_ap": float(precision.mean()), "oks_ap50": float(precision[0].mean())}
