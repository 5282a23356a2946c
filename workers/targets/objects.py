"""Targets and predictions of the tasks with boxes, masks and panoptic maps: det, iseg and pano."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.data.base import Instance, Sample
from workers.errors import BadDataFailure
from workers.targets.example import Example
from workers.targets.frame import Size, resize_pixels
from workers.targets.view import View

_MIN_VISIBLE_SHARE = 0.3  # a box of which a view shows less is ignored


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """The annotations of one image in the pixels of the stored image, which metrics compare predictions with.

    size: (height, width). boxes: (n, 4) x0, y0, x1, y1. areas: (n,) in pixels. rles: masks as pycocotools encodes
    them, where the task has masks. semantic, panoptic, crowds: as in Sample.
    """

    size: tuple[int, int]
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float64]
    rles: tuple[dict[str, Any], ...] = ()
    semantic: NDArray[np.uint8] | None = None
    panoptic: NDArray[np.int32] | None = None
    crowds: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class ObjectTarget:
    """The target of one image, in pixels of the network's input.

    content: (h, w) of the image in the input, canvas: (H, W) with padding. boxes: (n, 4), labels: (n,) classes, crowd:
    (n,) bool, masks: (n, H, W) bool, semantic: (H, W) uint8, all of them for training only. truth: the annotations in
    pixels of the stored image, for evaluation only.
    """

    content: Size
    canvas: Size
    boxes: Tensor | None = None
    labels: Tensor | None = None
    crowd: Tensor | None = None
    masks: Tensor | None = None
    semantic: Tensor | None = None
    truth: GroundTruth | None = None


@dataclass(frozen=True, slots=True)
class ObjectTargets:
    """The targets of a batch, one for each image."""

    images: tuple[ObjectTarget, ...]

    @property
    def truths(self) -> tuple[GroundTruth, ...]:
        """The annotations of each stored image. Only targets for evaluation have them."""
        return tuple(_required(target.truth) for target in self.images)


def _required(truth: GroundTruth | None) -> GroundTruth:
    assert truth is not None, "a target for training has no truth"
    return truth


@dataclass(frozen=True, slots=True)
class Detections:
    """The predictions for one image, in pixels of the stored image, best score first.

    boxes: (n, 4) x0, y0, x1, y1. rles: masks as pycocotools encodes them, empty without masks.
    panoptic: (H, W), class * 1000 + number, number 0 for stuff; -1 without a prediction.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    rles: tuple[dict[str, Any], ...] = ()
    panoptic: NDArray[np.int32] | None = None


def annotate_objects(sample: Sample, size: Size, *, masks: bool, maps: bool) -> Example:
    """Return boxes, and masks and maps where they are needed, for an image of (height, width).

    Raises BadDataFailure if a needed annotation is missing.
    """
    _check_annotations(sample, masks=masks, maps=maps)
    instances, stored = sample.instances, (int(sample.image.shape[0]), int(sample.image.shape[1]))
    scale = np.array([size[1] / stored[1], size[0] / stored[0]] * 2)
    example = {
        "boxes": torch.from_numpy((_boxes(instances) * scale).astype(np.float32)),
        "labels": torch.tensor([instance.category for instance in instances], dtype=torch.int64),
        "crowd": torch.tensor([instance.crowd for instance in instances], dtype=torch.bool),
    }
    if masks:
        drawn = [torch.from_numpy(np.ascontiguousarray(instance.mask)) for instance in instances]
        stacked = torch.stack(drawn) if drawn else torch.zeros((0, *stored), dtype=torch.bool)
        example["masks"] = resize_pixels(stacked, size, ids=True)
    if maps and sample.semantic is not None:
        example["semantic"] = resize_pixels(torch.from_numpy(sample.semantic)[None], size, ids=True)[0]
    return example


def annotate_truth(sample: Sample, *, masks: bool, maps: bool) -> Example:
    """Return the annotations that metrics compare predictions with, see `GroundTruth`.

    Raises BadDataFailure if a needed annotation is missing.
    """
    _check_annotations(sample, masks=masks, maps=maps)
    instances = sample.instances
    example = {
        "truth_size": torch.tensor(sample.image.shape[:2]),
        "truth_boxes": torch.from_numpy(_boxes(instances)),
        "truth_labels": torch.tensor([instance.category for instance in instances], dtype=torch.int64),
        "truth_crowd": torch.tensor([instance.crowd for instance in instances], dtype=torch.bool),
        "truth_areas": torch.tensor([instance.pixel_area() for instance in instances], dtype=torch.float64),
    }
    if masks:
        codes = [encode_mask(np.asarray(instance.mask))["counts"] for instance in instances]
        example["truth_runs"] = torch.from_numpy(np.frombuffer(b"".join(codes), dtype=np.uint8).copy())
        example["truth_run_ends"] = torch.tensor(list(accumulate(map(len, codes))), dtype=torch.int64)
    if maps and sample.semantic is not None and sample.panoptic is not None:
        example["truth_semantic"] = torch.from_numpy(sample.semantic)
        example["truth_panoptic"] = torch.from_numpy(sample.panoptic)
        example["truth_crowds"] = torch.tensor(sorted(sample.crowds), dtype=torch.int64)
    return example


def settle_objects(example: Example, view: View) -> Example:
    """Return the example with boxes clipped to the view, without objects outside it. Pixels have not followed it yet.

    Objects that are mostly cut off become crowds: they are neither trained on nor counted as background.
    """
    if view.window is None:
        return example
    boxes = example["boxes"]
    clipped = torch.minimum(boxes.clamp(min=0), boxes.new_tensor([view.content[1], view.content[0]] * 2))
    shares = _areas(clipped) / _areas(boxes).clamp(min=1e-6)
    visible = shares > 0
    if "masks" in example:
        top, left, height, width = view.window
        visible &= example["masks"][:, max(0, top) : top + height, max(0, left) : left + width].flatten(1).any(1)
    crowd = example["crowd"] | (shares < _MIN_VISIBLE_SHARE)
    kept = {"boxes": clipped[visible], "crowd": crowd[visible], "labels": example["labels"][visible]}
    return example | kept | ({"masks": example["masks"][visible]} if "masks" in example else {})


def collate_objects(examples: Sequence[Example], views: Sequence[View]) -> ObjectTargets:
    """Join examples into a batch of targets."""
    return ObjectTargets(tuple(_object_target(example, view) for example, view in zip(examples, views, strict=True)))


def _object_target(example: Example, view: View) -> ObjectTarget:
    annotations = {name: example.get(name) for name in ("boxes", "labels", "crowd", "masks", "semantic")}
    truth = _ground_truth(example) if "truth_size" in example else None
    return ObjectTarget(view.content, view.canvas, **annotations, truth=truth)


def _ground_truth(example: Example) -> GroundTruth:
    size = int(example["truth_size"][0]), int(example["truth_size"][1])
    rles: tuple[dict[str, Any], ...] = ()
    if "truth_runs" in example:
        runs, ends = example["truth_runs"].numpy().tobytes(), example["truth_run_ends"].tolist()
        rles = tuple({"size": list(size), "counts": runs[a:b]} for a, b in zip([0, *ends], ends, strict=False))
    maps = {name: example[f"truth_{name}"].numpy() for name in ("semantic", "panoptic") if f"truth_{name}" in example}
    return GroundTruth(
        size,
        example["truth_boxes"].numpy(),
        example["truth_labels"].numpy(),
        example["truth_crowd"].numpy(),
        example["truth_areas"].numpy(),
        rles,
        **maps,
        crowds=frozenset(example["truth_crowds"].tolist()) if "truth_crowds" in example else frozenset(),
    )


def _check_annotations(sample: Sample, *, masks: bool, maps: bool) -> None:
    if masks and any(instance.mask is None for instance in sample.instances):
        raise BadDataFailure("an object has no mask: label this data with --task det")
    if maps and (sample.semantic is None or sample.panoptic is None):
        raise BadDataFailure("a sample has no panoptic map")


def _boxes(instances: Sequence[Instance]) -> NDArray[np.float64]:
    return np.array([instance.box for instance in instances], dtype=np.float64).reshape(-1, 4)


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the run-length code of an (H, W) mask."""
    from pycocotools.mask import encode

    rle: dict[str, Any] = encode(np.asfortranarray(mask, dtype=np.uint8))
    return rle


def decode_mask(rle: dict[str, Any]) -> NDArray[np.bool_]:
    """Return the (H, W) mask of a run-length code."""
    from pycocotools.mask import decode

    mask: NDArray[np.bool_] = decode(rle).astype(np.bool_)
    return mask
