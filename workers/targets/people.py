"""People cut out of their images, with their joints."""

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

from workers.data.base import Instance, Sample
from workers.errors import BadDataFailure
from workers.targets.crop import CropWindow

MARGIN = 1.25  # a person's box is enlarged so much, as Simple Baselines and its successors do


@dataclass(frozen=True, slots=True)
class Crops:
    """People cut out of images; every tensor has the same leading dimensions, none for a single person.

    A point in pixels counts from the centre of the first pixel: x = 0 is the middle of the leftmost column.
    """

    joints: Tensor  # (..., J, 3): x and y in pixels of the input, visibility as in Instance
    scale: Tensor  # (..., 2): pixels of the image per pixel of the input, along x and y
    offset: Tensor  # (..., 2): x and y in the image of the centre of the input's first pixel
    size: Tensor  # (..., 2): width and height of the input
    box: Tensor  # (..., 4): x, y, width and height of the person in the image
    area: Tensor  # (...): of the person, in pixels of the image
    image: Tensor  # (...): int64, the same for two people if and only if they are on the same image
    mirrored: bool = False  # the inputs are; names of joints then stand on the wrong side

    @property
    def nbytes(self) -> int:
        """Memory of all tensors."""
        return sum(getattr(self, name).nbytes for name in _TENSORS)

    def to(self, device: torch.device | str) -> Crops:
        """The same on a device."""
        moved: dict[str, Any] = {name: getattr(self, name).to(device) for name in _TENSORS}
        return replace(self, **moved)

    def mirror(self) -> Crops:
        """For inputs mirrored left to right: the joints move, but keep their order, which only the head can mend."""
        joints = self.joints.clone()
        joints[..., 0] = self.size[..., None, 0] - 1 - joints[..., 0]
        return replace(self, joints=joints, mirrored=not self.mirrored)

    def zoom(self, window: CropWindow) -> Crops:
        """For the input of one person cut to a window and enlarged to its old size; the person in the image stays."""
        grown = self.size / torch.tensor([window.width, window.height])
        corner = torch.tensor([window.x, window.y])
        joints = self.joints.clone()
        joints[:, :2] = (joints[:, :2] + 0.5 - corner) * grown - 0.5
        outside = ((joints[:, :2] < -0.5) | (joints[:, :2] > self.size - 0.5)).any(1)
        joints[outside, 2] = 0
        offset = self.offset + self.scale * (corner - 0.5 + 0.5 / grown)
        return replace(self, joints=joints, scale=self.scale / grown, offset=offset)

    def in_image(self, points: Tensor) -> Tensor:
        """(..., J, 2) x and y in the unmirrored input to pixels of the image."""
        return points * self.scale[..., None, :] + self.offset[..., None, :]


_TENSORS = tuple(f.name for f in fields(Crops) if f.name != "mirrored")


def join(crops: Sequence[Crops]) -> Crops:
    """A batch of single people."""
    stacked: dict[str, Any] = {name: torch.stack([getattr(crop, name) for crop in crops]) for name in _TENSORS}
    return Crops(**stacked)


def cut(sample: Sample, position: int, size: tuple[int, int]) -> tuple[Tensor, Crops]:
    """(3, H, W) uint8 input of size (height, width) around a person, black outside the image, and where it lies.

    Raises BadDataFailure for an instance without joints.
    """
    crops = locate(sample, position, size)
    width, height = size[1], size[0]
    x0, y0 = (crops.offset - (crops.scale - 1) / 2).tolist()
    x1, y1 = x0 + width * float(crops.scale[0]), y0 + height * float(crops.scale[1])
    left, top = math.floor(x0), math.floor(y0)
    patch = Image.fromarray(sample.image).crop((left, top, math.ceil(x1), math.ceil(y1)))
    # Floats may put the edge a hair outside the patch, which PIL refuses.
    edges = (max(0.0, x0 - left), max(0.0, y0 - top), min(patch.width, x1 - left), min(patch.height, y1 - top))
    resized = patch.resize((width, height), Image.Resampling.BILINEAR, box=edges)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous(), crops


def locate(sample: Sample, position: int, size: tuple[int, int]) -> Crops:
    """Where the input around a person lies, and its joints there: the box, enlarged and widened to the input's shape.

    Raises BadDataFailure for an instance without joints.
    """
    instance = sample.instances[position]
    if instance.joints is None:
        raise BadDataFailure(f"instance {position} of a sample has no joints")
    x0, y0, x1, y1 = instance.box
    height, width = size
    factor = MARGIN * max((x1 - x0) / width, (y1 - y0) / height, 1 / min(size))  # not less than a pixel
    corner = torch.tensor([(x0 + x1 - factor * width) / 2, (y0 + y1 - factor * height) / 2])
    scale = torch.tensor([factor, factor])
    offset = corner + (scale - 1) / 2
    joints = torch.from_numpy(instance.joints.astype(np.float32))
    return Crops(
        torch.cat([(joints[:, :2] - offset) / scale, joints[:, 2:]], 1),
        scale,
        offset,
        torch.tensor([width, height]),
        torch.tensor([x0, y0, x1 - x0, y1 - y0]),
        torch.tensor(_area(instance)),
        torch.tensor(_number(sample)),
    )


def _area(instance: Instance) -> float:
    if instance.area is not None:
        return float(instance.area)
    if instance.mask is not None:
        return float(instance.mask.sum())
    x0, y0, x1, y1 = instance.box
    return float((x1 - x0) * (y1 - y0))


def _number(sample: Sample) -> int:
    """A sample does not know its number, so its pixels give one."""
    return int.from_bytes(hashlib.blake2b(sample.image.tobytes(), digest_size=8).digest(), "big") >> 1
