"""Targets and outputs of tasks on boxes, masks and panoptic maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from workers.data.base import Sample
from workers.errors import BadDataFailure
from workers.targets.crop import CropWindow

_LEAST_LEFT = 0.3  # share of a box inside a window below which it is ignored


@dataclass(frozen=True, slots=True)
class Truth:
    """What is annotated, in the pixels of the image as stored: what metrics are computed against.

    boxes: (n, 4) x0, y0, x1, y1. rles: masks as pycocotools encodes them, where the task has masks.
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
        """Memory it takes, about."""
        maps = sum(m.nbytes for m in (self.semantic, self.panoptic) if m is not None)
        return maps + self.boxes.nbytes + sum(len(rle["counts"]) for rle in self.rles) + 500


@dataclass(frozen=True, slots=True)
class Scene:
    """One image's target. boxes: (n, 4), masks: (n, h, w) uint8, semantic: (h, w) uint8, in input pixels."""

    size: tuple[int, int]
    boxes: Tensor
    labels: Tensor
    crowd: Tensor
    masks: Tensor | None
    semantic: Tensor | None
    truth: Truth

    @property
    def nbytes(self) -> int:
        """Memory it takes, about."""
        maps = sum(int(m.nbytes) for m in (self.masks, self.semantic) if m is not None)
        return int(self.boxes.nbytes) + maps + self.truth.nbytes

    def to(self, device: torch.device) -> Scene:
        """The same with its tensors on `device`."""
        masks, semantic = (m if m is None else m.to(device) for m in (self.masks, self.semantic))
        labels, crowd = self.labels.to(device), self.crowd.to(device)
        return replace(self, boxes=self.boxes.to(device), labels=labels, crowd=crowd, masks=masks, semantic=semantic)

    def flip(self) -> Scene:
        """Mirrored left to right; `truth` stays, since only training mirrors."""
        width = self.size[1]
        x0, y0, x1, y1 = self.boxes.unbind(1)
        boxes = torch.stack([width - x1, y0, width - x0, y1], 1)
        masks, semantic = (m if m is None else m.flip(-1) for m in (self.masks, self.semantic))
        return replace(self, boxes=boxes, masks=masks, semantic=semantic)

    def zoom(self, window: CropWindow) -> Scene:
        """Cut to a window and enlarged; what is mostly cut off is neither learnt nor taken for ground."""
        boxes, left = window.boxes(self.boxes, self.size)
        there = left > 0
        masks = None if self.masks is None else window.map(self.masks)
        if masks is not None:
            there &= (masks > 0).flatten(1).any(1)
            masks = masks[there]
        semantic = None if self.semantic is None else window.map(self.semantic)
        crowd = (self.crowd | (left < _LEAST_LEFT))[there]
        return replace(self, boxes=boxes[there], labels=self.labels[there], crowd=crowd, masks=masks, semantic=semantic)


@dataclass(frozen=True, slots=True)
class Scenes:
    """The targets of a batch."""

    scenes: tuple[Scene, ...]

    def to(self, device: torch.device) -> Scenes:
        """The same on `device`."""
        return Scenes(tuple(scene.to(device) for scene in self.scenes))

    def flip(self) -> Scenes:
        """All mirrored."""
        return Scenes(tuple(scene.flip() for scene in self.scenes))


@dataclass(frozen=True, slots=True)
class Found:
    """What a detector says of one image, in the pixels of the image as stored; best first.

    panoptic: (H, W), class * 1000 + number, 0 for stuff; -1 where it says nothing.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    rles: tuple[dict[str, Any], ...] = ()
    panoptic: NDArray[np.int32] | None = None


def scene_of(sample: Sample, size: tuple[int, int], *, masks: bool, maps: bool) -> Scene:
    """The target of one sample at (height, width). Raises BadDataFailure where an annotation is missing."""
    full = sample.image.shape[:2]
    things = sample.instances
    if masks and any(thing.mask is None for thing in things):
        raise BadDataFailure("an object has no mask: label this data with --task det")
    if maps and (sample.semantic is None or sample.panoptic is None):
        raise BadDataFailure("a sample has no panoptic map")
    boxes = np.array([thing.box for thing in things], dtype=np.float64).reshape(-1, 4)
    labels = np.array([thing.category for thing in things], dtype=np.int64)
    crowd = np.array([thing.crowd for thing in things], dtype=np.bool_)
    truth = Truth(
        size=(int(full[0]), int(full[1])),
        boxes=boxes,
        labels=labels,
        crowd=crowd,
        areas=np.array([_area(thing) for thing in things], dtype=np.float64),
        rles=tuple(encode(np.asarray(thing.mask)) for thing in things) if masks else (),
        semantic=sample.semantic if maps else None,
        panoptic=sample.panoptic if maps else None,
        crowds=sample.crowds,
    )
    height, width = size
    scale = np.array([width / full[1], height / full[0]] * 2)
    return Scene(
        size=size,
        boxes=torch.from_numpy((boxes * scale).astype(np.float32)),
        labels=torch.from_numpy(labels),
        crowd=torch.from_numpy(crowd),
        masks=_masks(things, size) if masks else None,
        semantic=_resized(sample.semantic, size) if maps and sample.semantic is not None else None,
        truth=truth,
    )


def encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Run-length code of an (H, W) mask."""
    from pycocotools.mask import encode as rle

    code: dict[str, Any] = rle(np.asfortranarray(mask, dtype=np.uint8))
    return code


def decode(rle: dict[str, Any]) -> NDArray[np.bool_]:
    """The (H, W) mask of a run-length code."""
    from pycocotools.mask import decode as mask

    full: NDArray[np.bool_] = mask(rle).astype(np.bool_)
    return full


def _area(thing: Any) -> float:
    if thing.area is not None:
        return float(thing.area)
    x0, y0, x1, y1 = thing.box
    return float(thing.mask.sum()) if thing.mask is not None else float((x1 - x0) * (y1 - y0))


def _masks(things: Sequence[Any], size: tuple[int, int]) -> Tensor:
    resized = [_resized(thing.mask.astype(np.uint8), size) for thing in things]
    return torch.stack(resized) if resized else torch.zeros((0, *size), dtype=torch.uint8)


def _resized(labels: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    picture = Image.fromarray(labels).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return torch.from_numpy(np.array(picture))
