"""Targets of task pose: people cropped out of their images, with their joints."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workers.data.base import Sample
from workers.errors import BadDataFailure
from workers.targets.crop import CropWindow

BOX_MARGIN = 1.25  # factor that a person's box is enlarged by, as in Simple Baselines and its successors


@dataclass(frozen=True, slots=True)
class PersonCrops:
    """People cropped out of images. All tensors have the same leading dimensions: none for one person, (N,) for N.

    Points in pixels are measured from the centre of the first pixel: x = 0 is the middle of the leftmost column.
    """

    joints: Tensor  # (..., J, 3): x and y in pixels of the input, visibility as in Instance
    scale: Tensor  # (..., 2): image pixels per input pixel, along x and y
    offset: Tensor  # (..., 2): x and y, in the image, of the centre of the input's first pixel
    size: Tensor  # (..., 2): width and height of the input
    box: Tensor  # (..., 4): x, y, width and height of the person in the image
    area: Tensor  # (...): area of the person, in pixels of the image
    image: Tensor  # (...): int64, a number of the image: equal for people on the same image
    flipped: bool = False  # inputs and joints are flipped left to right, but joints keep their order

    @property
    def nbytes(self) -> int:
        """Memory of all tensors in bytes."""
        return sum(getattr(self, name).nbytes for name in _TENSORS)

    def to(self, device: torch.device | str) -> PersonCrops:
        """Return a copy on `device`."""
        moved: dict[str, Any] = {name: getattr(self, name).to(device) for name in _TENSORS}
        return replace(self, **moved)

    def flip(self) -> PersonCrops:
        """Return the target of inputs flipped left to right.

        Joints move but keep their order: the loss swaps left and right, since only the head knows their names.
        """
        joints = self.joints.clone()
        joints[..., 0] = self.size[..., None, 0] - 1 - joints[..., 0]
        return replace(self, joints=joints, flipped=not self.flipped)

    def crop(self, window: CropWindow) -> PersonCrops:
        """Return the target of one person's input, cropped to `window` and resized to its old size.

        Joints outside the window count as not labelled. `box` and `area`, which are of the image, are kept.
        """
        zoom = self.size / torch.tensor([window.width, window.height])
        corner = torch.tensor([window.x, window.y])
        joints = self.joints.clone()
        joints[:, :2] = (joints[:, :2] + 0.5 - corner) * zoom - 0.5
        outside = ((joints[:, :2] < -0.5) | (joints[:, :2] > self.size - 0.5)).any(1)
        joints[outside, 2] = 0
        offset = self.offset + self.scale * (corner - 0.5 + 0.5 / zoom)
        return replace(self, joints=joints, scale=self.scale / zoom, offset=offset)

    def to_image_pixels(self, points: Tensor) -> Tensor:
        """Convert (..., J, 2) x and y in the unflipped input to pixels of the image."""
        return points * self.scale[..., None, :] + self.offset[..., None, :]


_TENSORS = tuple(f.name for f in fields(PersonCrops) if f.name != "flipped")


def stack_crops(crops: Sequence[PersonCrops]) -> PersonCrops:
    """Stack the targets of single people into a batch."""
    stacked: dict[str, Any] = {name: torch.stack([getattr(crop, name) for crop in crops]) for name in _TENSORS}
    return PersonCrops(**stacked)


def crop_person(sample: Sample, position: int, size: tuple[int, int]) -> tuple[Tensor, PersonCrops]:
    """Crop the instance at `position` and resize the crop to (height, width); pixels outside the image are black.

    Returns the (3, height, width) uint8 input and its target. Raises BadDataFailure for an instance without joints.
    """
    crops = locate_person(sample, position, size)
    width, height = size[1], size[0]
    x0, y0 = (crops.offset - (crops.scale - 1) / 2).tolist()
    x1, y1 = x0 + width * float(crops.scale[0]), y0 + height * float(crops.scale[1])
    left, top = math.floor(x0), math.floor(y0)
    patch = Image.fromarray(sample.image).crop((left, top, math.ceil(x1), math.ceil(y1)))
    # Rounding may put an edge slightly outside the patch, which PIL refuses.
    edges = (max(0.0, x0 - left), max(0.0, y0 - top), min(patch.width, x1 - left), min(patch.height, y1 - top))
    resized = patch.resize((width, height), Image.Resampling.BILINEAR, box=edges)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous(), crops


def locate_person(sample: Sample, position: int, size: tuple[int, int]) -> PersonCrops:
    """Return the target of the instance at `position` for an input of (height, width).

    The crop is the person's box, enlarged by BOX_MARGIN and extended to the aspect ratio of the input.
    Raises BadDataFailure for an instance without joints.
    """
    instance = sample.instances[position]
    if instance.joints is None:
        raise BadDataFailure(f"instance {position} of a sample has no joints")
    x0, y0, x1, y1 = instance.box
    height, width = size
    factor = BOX_MARGIN * max((x1 - x0) / width, (y1 - y0) / height, 1 / min(size))  # at least one pixel
    corner = torch.tensor([(x0 + x1 - factor * width) / 2, (y0 + y1 - factor * height) / 2])
    scale = torch.tensor([factor, factor])
    offset = corner + (scale - 1) / 2
    joints = torch.from_numpy(instance.joints.astype(np.float32))
    return PersonCrops(
        torch.cat([(joints[:, :2] - offset) / scale, joints[:, 2:]], 1),
        scale,
        offset,
        torch.tensor([width, height]),
        torch.tensor([x0, y0, x1 - x0, y1 - y0]),
        torch.tensor(instance.pixel_area()),
        torch.tensor(_image_number(sample)),
    )


def _image_number(sample: Sample) -> int:
    """Return a hash of the pixels, since a sample has no number of its own."""
    return int.from_bytes(hashlib.blake2b(sample.image.tobytes(), digest_size=8).digest(), "big") >> 1
