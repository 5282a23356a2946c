"""EXIF orientations: turn a sample whose annotations are of the stored image as viewers turn the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.data.base import Instance, Sample

Point = tuple[float, float]
# By orientation (EXIF 2.32, tag 0x0112): how pixels are turned, and where a point (x, y) of a width and height goes.
_PIXELS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
_POINTS: dict[int, Callable[[Any, Any, float, float], tuple[Any, Any]]] = {
    2: lambda x, y, w, h: (w - x, y),
    3: lambda x, y, w, h: (w - x, h - y),
    4: lambda x, y, w, h: (x, h - y),
    5: lambda x, y, w, h: (y, x),
    6: lambda x, y, w, h: (h - y, x),
    7: lambda x, y, w, h: (h - y, w - x),
    8: lambda x, y, w, h: (y, w - x),
}
SWAPPED = (5, 6, 7, 8)  # orientations that exchange width and height


def turn_pixels(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn (H, W, ...) stored pixels upright."""
    return np.ascontiguousarray(_PIXELS[orientation](pixels)) if orientation in _PIXELS else pixels


def turn_back(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn (H, W, ...) upright pixels to how they are stored."""
    return turn_pixels(pixels, {6: 8, 8: 6}.get(orientation, orientation))


def turn_sample(sample: Sample, orientation: int) -> Sample:
    """Turn a sample in the frame of the stored image upright, with all its annotations."""
    if orientation not in _PIXELS:
        return sample
    height, width = sample.image.shape[:2]
    return replace(
        sample,
        image=turn_pixels(sample.image, orientation),
        semantic=None if sample.semantic is None else turn_pixels(sample.semantic, orientation),
        panoptic=None if sample.panoptic is None else turn_pixels(sample.panoptic, orientation),
        instances=tuple(_turn_instance(instance, orientation, width, height) for instance in sample.instances),
    )


def _turn_instance(instance: Instance, orientation: int, width: int, height: int) -> Instance:
    move = _POINTS[orientation]
    x0, y0, x1, y1 = instance.box
    xs, ys = zip(move(x0, y0, width, height), move(x1, y1, width, height), strict=True)
    joints = instance.joints
    if joints is not None:  # measured from the centre of the first pixel, boxes from its corner
        x, y = move(joints[:, 0], joints[:, 1], width - 1, height - 1)
        joints = np.stack([x, y, joints[:, 2]], 1)
    return replace(
        instance,
        mask=None if instance.mask is None else turn_pixels(instance.mask, orientation),
        box=(min(xs), min(ys), max(xs), max(ys)),
        joints=joints,
    )
