"""Targets and predictions of the tasks with boxes, masks and panoptic maps: det, iseg and pano."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from workers.data.base import Instance, Sample
from workers.errors import BadDataFailure
from workers.targets.crop import CropWindow

_MIN_VISIBLE_SHARE = 0.3  # a box of which the crop window shows less is ignored


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

    @property
    def nbytes(self) -> int:
        """Approximate memory in bytes."""
        maps = sum(m.nbytes for m in (self.semantic, self.panoptic) if m is not None)
        return maps + self.boxes.nbytes + sum(len(rle["counts"]) for rle in self.rles) + 500


@dataclass(frozen=True, slots=True)
class ObjectTarget:
    """The training target of one image, in pixels of the network's input.

    size: (h, w) of the input. boxes: (n, 4), labels: (n,) classes, crowd: (n,) bool, masks: (n, h, w) uint8,
    semantic: (h, w) uint8. truth: the annotations in pixels of the stored image.
    """

    size: tuple[int, int]
    boxes: Tensor
    labels: Tensor
    crowd: Tensor
    masks: Tensor | None
    semantic: Tensor | None
    truth: GroundTruth

    @property
    def nbytes(self) -> int:
        """Approximate memory in bytes."""
        maps = sum(int(m.nbytes) for m in (self.masks, self.semantic) if m is not None)
        return int(self.boxes.nbytes) + maps + self.truth.nbytes

    def to(self, device: torch.device) -> ObjectTarget:
        """Return a copy with its tensors on `device`."""
        masks, semantic = (m if m is None else m.to(device) for m in (self.masks, self.semantic))
        labels, crowd = self.labels.to(device), self.crowd.to(device)
        return replace(self, boxes=self.boxes.to(device), labels=labels, crowd=crowd, masks=masks, semantic=semantic)

    def flip(self) -> ObjectTarget:
        """Return the target of the image flipped left to right. `truth` is kept: only training flips images."""
        width = self.size[1]
        x0, y0, x1, y1 = self.boxes.unbind(1)
        boxes = torch.stack([width - x1, y0, width - x0, y1], 1)
        masks, semantic = (m if m is None else m.flip(-1) for m in (self.masks, self.semantic))
        return replace(self, boxes=boxes, masks=masks, semantic=semantic)

    def crop(self, window: CropWindow) -> ObjectTarget:
        """Return the target of the image cropped to `window` and resized to its old size.

        Objects that are mostly cut off become crowds: they are neither trained on nor counted as background.
        """
        boxes, shares = window.crop_boxes(self.boxes, self.size)
        visible = shares > 0
        masks = None if self.masks is None else window.crop_map(self.masks)
        if masks is not None:
            visible &= (masks > 0).flatten(1).any(1)
            masks = masks[visible]
        semantic = None if self.semantic is None else window.crop_map(self.semantic)
        crowd = (self.crowd | (shares < _MIN_VISIBLE_SHARE))[visible]
        boxes, labels = boxes[visible], self.labels[visible]
        return replace(self, boxes=boxes, labels=labels, crowd=crowd, masks=masks, semantic=semantic)


@dataclass(frozen=True, slots=True)
class ObjectTargets:
    """The targets of a batch, one for each image."""

    images: tuple[ObjectTarget, ...]

    def to(self, device: torch.device) -> ObjectTargets:
        """Return a copy with all tensors on `device`."""
        return ObjectTargets(tuple(target.to(device) for target in self.images))

    def flip(self) -> ObjectTargets:
        """Return the targets of the images flipped left to right."""
        return ObjectTargets(tuple(target.flip() for target in self.images))


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


def build_object_target(sample: Sample, size: tuple[int, int], *, masks: bool, maps: bool) -> ObjectTarget:
    """Build the target of one sample for inputs of (height, width).

    masks, maps: whether instance masks and the semantic and panoptic maps are needed.
    Raises BadDataFailure if a needed annotation is missing.
    """
    stored_height, stored_width = sample.image.shape[:2]
    instances = sample.instances
    if masks and any(instance.mask is None for instance in instances):
        raise BadDataFailure("an object has no mask: label this data with --task det")
    if maps and (sample.semantic is None or sample.panoptic is None):
        raise BadDataFailure("a sample has no panoptic map")
    boxes = np.array([instance.box for instance in instances], dtype=np.float64).reshape(-1, 4)
    labels = np.array([instance.category for instance in instances], dtype=np.int64)
    crowd = np.array([instance.crowd for instance in instances], dtype=np.bool_)
    truth = GroundTruth(
        size=(int(stored_height), int(stored_width)),
        boxes=boxes,
        labels=labels,
        crowd=crowd,
        areas=np.array([instance.pixel_area() for instance in instances], dtype=np.float64),
        rles=tuple(encode_mask(np.asarray(instance.mask)) for instance in instances) if masks else (),
        semantic=sample.semantic if maps else None,
        panoptic=sample.panoptic if maps else None,
        crowds=sample.crowds,
    )
    height, width = size
    scale = np.array([width / stored_width, height / stored_height] * 2)
    return ObjectTarget(
        size=size,
        boxes=torch.from_numpy((boxes * scale).astype(np.float32)),
        labels=torch.from_numpy(labels),
        crowd=torch.from_numpy(crowd),
        masks=_resize_masks(instances, size) if masks else None,
        semantic=_resize(sample.semantic, size) if maps and sample.semantic is not None else None,
        truth=truth,
    )


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


def _resize_masks(instances: Sequence[Instance], size: tuple[int, int]) -> Tensor:
    masks = [_resize(np.asarray(instance.mask, dtype=np.uint8), size) for instance in instances]
    return torch.stack(masks) if masks else torch.zeros((0, *size), dtype=torch.uint8)


def _resize(labels: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """Resize an (H, W) map to (height, width), nearest neighbour."""
    resized = Image.fromarray(labels).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return torch.from_numpy(np.array(resized))
