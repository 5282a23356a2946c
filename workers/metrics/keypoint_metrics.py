"""Metrics of keypoints: PCK by torso or box, PCKh, and the AP of object keypoint similarity (OKS)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.data.base import Vocabulary
from workers.data.joint_names import head_segment, torso
from workers.metrics.base import Metric
from workers.metrics.coco_evaluation import judge
from workers.targets.people import Crops

_UNIFORM_SIGMA = 0.05  # where a vocabulary has no sigmas; COCO's own lie between 0.025 and 0.107


class KeypointMetric(Metric):
    """PCK and OKS AP over all people.

    `pck` (at 0.2): share of labelled joints whose error is at most a fifth of the person's torso, left shoulder to
    right hip, or, where these are not both labelled or named, of the longer side of the person's box. `pck_torso` and
    `pck_box` are its two parts; the one that nobody was measured by is missing. `pckh` (at 0.5): the same with half
    the head segment, of the people that have one labelled; missing if nobody has. `oks_ap`, `oks_ap50`: by
    COCO's rules, of boxes that are given, so a person's score is the mean of its joints'; 0 without anything labelled.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._torso, self._head = torso(vocabulary.joints), head_segment(vocabulary.joints)
        self._sigmas = vocabulary.sigmas or (_UNIFORM_SIGMA,) * len(vocabulary.joints)
        self._said: list[Tensor] = []
        self._crops: list[Crops] = []

    def update(self, output: Tensor, target: Crops) -> None:
        """output: (N, J, 5) x and y in the input, x and y in the image, score."""
        self._said.append(output[..., 2:].float().cpu())
        self._crops.append(target.to("cpu"))

    def compute(self) -> dict[str, float]:
        """All of them."""
        said = torch.cat(self._said)
        joints = torch.cat([torch.cat([c.in_image(c.joints[..., :2]), c.joints[..., 2:]], -1) for c in self._crops])
        box, area, image = (torch.cat([getattr(c, name) for c in self._crops]) for name in ("box", "area", "image"))
        truth = [_person(*row) for row in zip(joints.numpy(), box.tolist(), area.tolist(), image.tolist(), strict=True)]
        return self._pck(said[..., :2], joints, box) | oks_ap(truth, said.numpy(), self._sigmas)

    def _pck(self, said: Tensor, joints: Tensor, box: Tensor) -> dict[str, float]:
        labelled = joints[..., 2] > 0
        error = torch.linalg.vector_norm(said - joints[..., :2], dim=-1)
        length = _distance(joints, self._torso)
        by_torso = (length > 0)[:, None] & labelled
        by_box = labelled & ~by_torso
        near = error <= 0.2 * torch.where(length > 0, length, box[:, 2:].amax(1))[:, None]
        out = {"pck": _share(near, labelled)}
        out |= {name: _share(near, part) for name, part in (("pck_torso", by_torso), ("pck_box", by_box)) if part.any()}
        head = _distance(joints, self._head)[:, None]
        if bool((by_head := (head > 0) & labelled).any()):
            out["pckh"] = _share(error <= 0.5 * head, by_head)
        return out


def _distance(joints: Tensor, pair: tuple[int, int] | None) -> Tensor:
    """(N,) between two joints, 0 where they are not both labelled."""
    if pair is None:
        return torch.zeros(len(joints))
    a, b = joints[:, pair[0]], joints[:, pair[1]]
    length = torch.linalg.vector_norm((a - b)[:, :2], dim=-1)
    return torch.where((a[:, 2] > 0) & (b[:, 2] > 0), length, 0.0)


def _share(good: Tensor, counted: Tensor) -> float:
    return float((good & counted).sum() / counted.sum().clamp(min=1))


def _person(joints: NDArray[np.float32], box: list[float], area: float, image: int) -> dict[str, Any]:
    """An annotation as COCO has it."""
    count = int((joints[:, 2] > 0).sum())
    flat = [float(value) for value in joints.ravel()]
    labels = {"category_id": 1, "iscrowd": 0, "num_keypoints": count, "keypoints": flat}
    return labels | {"image_id": image, "bbox": box, "area": area}


def oks_ap(truth: list[dict[str, Any]], said: NDArray[np.float32], sigmas: tuple[float, ...]) -> dict[str, float]:
    """COCO's keypoint AP, mean over OKS .5 to .95 and at .5, of said (N, J, 3) x, y, score for N true people."""
    if not any(person["num_keypoints"] for person in truth):
        return {"oks_ap": 0.0, "oks_ap50": 0.0}
    results = [
        {
            "image_id": person["image_id"],
            "category_id": 1,
            "keypoints": [float(value) for value in points.ravel()],
            "score": float(points[:, 2].mean()),
        }
        for person, points in zip(truth, said, strict=True)
    ]
    dataset = {
        "images": [{"id": image} for image in sorted({person["image_id"] for person in truth})],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [{"id": i + 1} | person for i, person in enumerate(truth)],
    }
    every_area = {"areaRng": [[0, 1e10]], "areaRngLbl": ["all"]}
    evaluation = judge(dataset, results, "keypoints", kpt_oks_sigmas=np.array(sigmas), **every_area)
    precision = evaluation.eval["precision"]  # (10 thresholds, 101 recalls, 1 class, 1 area, 1 limit)
    return {"oks_ap": float(precision.mean()), "oks_ap50": float(precision[0].mean())}
