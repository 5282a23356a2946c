"""Targets of task pose: people cropped out of their images, with their joints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from workers.data.base import Sample
from workers.errors import BadDataFailure
from workers.targets.example import Example
from workers.targets.frame import Size
from workers.targets.view import View

BOX_MARGIN = 1.25  # factor that a person's box is enlarged by, as in Simple Baselines and its successors


@dataclass(frozen=True, slots=True)
class PersonCrops:
    """N people cropped out of images.

    Points in pixels are measured from the centre of the first pixel: x = 0 is the middle of the leftmost column.
    """

    joints: Tensor  # (N, J, 3): x and y in pixels of the input, visibility as in Instance
    scale: Tensor  # (N, 2): image pixels per input pixel, along x and y, of inputs that no view has changed
    offset: Tensor  # (N, 2): x and y, in the image, of the centre of such an input's first pixel
    box: Tensor  # (N, 4): x, y, width and height of the person in the image
    area: Tensor  # (N,): area of the person, in pixels of the image
    image: Tensor  # (N,): int64, the number of the image: equal for people on the same image
    mirrored: (
        Tensor  # (N,): bool, whether the input is flipped left to right. Joints moved with it but keep their order
    )

    def to(self, device: torch.device | str) -> PersonCrops:
        """Return a copy on `device`."""
        return PersonCrops(*(getattr(self, field.name).to(device) for field in fields(self)))

    def to_image_pixels(self, points: Tensor) -> Tensor:
        """Convert (..., J, 2) x and y in the unflipped input to pixels of the image."""
        return points * self.scale[..., None, :] + self.offset[..., None, :]


def stack_people(examples: Sequence[Example], views: Sequence[View]) -> PersonCrops:
    """Return the targets of examples that `crop_person` made."""
    names = ("scale", "offset", "box", "area", "image_number")
    scale, offset, box, area, image = (torch.stack([example[name] for example in examples]) for name in names)
    joints = torch.stack([example["joints"] for example in examples])
    mirrored = torch.tensor([view.mirrored for view in views], device=joints.device)
    return PersonCrops(joints, scale, offset, box, area, image, mirrored)


def crop_person(sample: Sample, position: int, size: Size, margin: float = 1.0) -> Example:
    """Crop the instance at `position` and resize the crop to (height, width) times `margin`.

    Pixels outside the image are black. The person's joints are in pixels of the crop. Raises BadDataFailure for an
    instance without joints.
    """
    height, width = (round(side * margin) for side in size)
    example = locate_person(sample, position, size, margin)
    scale, offset = example["scale"], example["offset"]
    x0, y0 = (offset - (scale - 1) / 2).tolist()
    x1, y1 = x0 + width * float(scale[0]), y0 + height * float(scale[1])
    left, top = math.floor(x0), math.floor(y0)
    patch = Image.fromarray(_cut(sample.image, top, left, math.ceil(y1), math.ceil(x1)))
    # Rounding may put an edge slightly outside the patch, which PIL refuses.
    edges = (max(0.0, x0 - left), max(0.0, y0 - top), min(patch.width, x1 - left), min(patch.height, y1 - top))
    resized = patch.resize((width, height), Image.Resampling.BILINEAR, box=edges)
    return {"image": torch.from_numpy(np.array(resized)).permute(2, 0, 1)} | example


def _cut(image: NDArray[np.uint8], top: int, left: int, bottom: int, right: int) -> NDArray[np.uint8]:
    """Cut a window out of an (h, w, 3) image; it may exceed the image, and is black there."""
    height, width = image.shape[:2]
    inside = image[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    if top >= 0 and left >= 0 and bottom <= height and right <= width:
        return np.ascontiguousarray(inside)
    window = np.zeros((bottom - top, right - left, 3), dtype=np.uint8)
    window[max(0, -top) : max(0, -top) + inside.shape[0], max(0, -left) : max(0, -left) + inside.shape[1]] = inside
    return window


def locate_person(sample: Sample, position: int, size: Size, margin: float = 1.0) -> Example:
    """Return the annotations of the instance at `position` for an input of (height, width), see `PersonCrops`.

    The crop is the person's box, enlarged by BOX_MARGIN and extended to the aspect ratio of the input. `margin`
    enlarges the crop and the input by another factor. Raises BadDataFailure for an instance without joints.
    """
    instance = sample.instances[position]
    if instance.joints is None:
        raise BadDataFailure(f"instance {position} of a sample has no joints")
    x0, y0, x1, y1 = instance.box
    factor = BOX_MARGIN * max((x1 - x0) / size[1], (y1 - y0) / size[0], 1 / min(size))  # at least one pixel
    height, width = (round(side * margin) for side in size)
    corner = torch.tensor([(x0 + x1 - factor * width) / 2, (y0 + y1 - factor * height) / 2])
    scale = torch.tensor([factor, factor])
    offset = corner + (scale - 1) / 2
    joints = torch.from_numpy(instance.joints.astype(np.float32))
    return {
        "joints": torch.cat([(joints[:, :2] - offset) / scale, joints[:, 2:]], 1),
        "scale": scale,
        "offset": offset,
        "box": torch.tensor([x0, y0, x1 - x0, y1 - y0]),
        "area": torch.tensor(instance.pixel_area()),
    }
