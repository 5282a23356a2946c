"""A view of an image: what a network sees of it, and how. Pixels follow it by torchvision's transforms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torchvision.transforms.v2.functional as F  # noqa: N812 - its usual name
from torch import Tensor
from torchvision.transforms import InterpolationMode

from workers.data.base import VOID
from workers.targets.example import Example
from workers.targets.frame import Size


@dataclass(frozen=True, slots=True)
class Colours:
    """Factors of brightness, contrast and saturation, and the shift of the hue as a fraction of the colour circle."""

    brightness: float
    contrast: float
    saturation: float
    hue: float


@dataclass(frozen=True, slots=True)
class View:
    """A rotation about the centre of a window, then the window, resized, mirrored, and padded at right and bottom.

    stored: (height, width) of the example. window: top, left, height, width in its pixels; all of it if None. The
    window may exceed the image, which is black there. content: (height, width) of the resized window. canvas: (height,
    width) with padding. angle: degrees counter-clockwise.
    """

    stored: Size
    content: Size
    canvas: Size
    window: tuple[int, int, int, int] | None = None
    mirrored: bool = False
    angle: float = 0.0
    colours: Colours | None = None

    def apply_to_pixels(self, example: Example) -> Example:
        """Return the example with `image`, `masks` and `semantic` as this view shows them."""
        seen = example | {"image": self._recolour(self._follow(example["image"], InterpolationMode.BILINEAR, 0))}
        if "masks" in example:
            masks = self._follow(example["masks"].view(torch.uint8), InterpolationMode.NEAREST_EXACT, 0)
            seen["masks"] = masks.view(torch.bool)
        if "semantic" in example:
            seen["semantic"] = self._follow(example["semantic"][None], InterpolationMode.NEAREST_EXACT, VOID)[0]
        return seen

    def apply_to_coordinates(self, example: Example) -> Example:
        """Return the example with `boxes` and `joints` where this view shows them.

        Boxes are not clipped: `settle` needs to know how much of an object is visible.
        """
        if "boxes" in example:
            assert not self.angle, "boxes cannot be turned"
            (a, _, c), (_, e, f) = self._matrix()
            boxes = example["boxes"] * torch.tensor([a, e, a, e]) + torch.tensor([c, f, c, f])
            return example | {"boxes": boxes[:, [2, 1, 0, 3]] if self.mirrored else boxes}
        if "joints" in example:
            # A joint at (0, 0) is in the centre of the first pixel, half a pixel from the corner.
            (a, b, c), (d, e, f) = self._matrix()
            moved = torch.tensor([[a, d, 0], [b, e, 0], [0, 0, 1]])
            shift = torch.tensor([(a + b) / 2 + c - 0.5, (d + e) / 2 + f - 0.5, 0])
            return example | {"joints": torch.addmm(shift, example["joints"], moved)}
        return example

    def _window(self) -> tuple[int, int, int, int]:
        return self.window or (0, 0, *self.stored)

    def _matrix(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Return a, b, c and d, e, f: x' = a x + b y + c and y' = d x + e y + f, from the image's corner."""
        top, left, height, width = self._window()
        across, down = self.content[1] / width, self.content[0] / height
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        centre_x, centre_y = left + width / 2, top + height / 2
        x = (cos * across, sin * across, (width / 2 - cos * centre_x - sin * centre_y) * across)
        y = (-sin * down, cos * down, (height / 2 + sin * centre_x - cos * centre_y) * down)
        return ((-x[0], -x[1], self.content[1] - x[2]), y) if self.mirrored else (x, y)

    def _follow(self, pixels: Tensor, interpolation: InterpolationMode, fill: int) -> Tensor:
        if not pixels.shape[0]:  # no mask
            return pixels.new_zeros((0, *self.canvas))
        if self.angle:
            top, left, height, width = self._window()
            smooth = interpolation is InterpolationMode.BILINEAR
            rough = interpolation if smooth else InterpolationMode.NEAREST  # rotation knows no other for ids
            centre = [left + width / 2, top + height / 2]
            pixels = F.rotate_image(pixels, self.angle, rough, center=centre, fill=[float(fill)] * len(pixels))
        if self.window is not None:
            pixels = F.crop_image(pixels, *self.window)
        if pixels.shape[-2:] != self.content:
            pixels = F.resize_image(pixels, list(self.content), interpolation, antialias=True)
        if self.mirrored:
            pixels = F.horizontal_flip_image(pixels)
        if self.content != self.canvas:
            room = [0, 0, self.canvas[1] - self.content[1], self.canvas[0] - self.content[0]]
            pixels = F.pad_image(pixels, room, fill=fill)
        return pixels

    def _recolour(self, image: Tensor) -> Tensor:
        if self.colours is None:
            return image
        image = F.adjust_brightness_image(image, self.colours.brightness)
        image = F.adjust_contrast_image(image, self.colours.contrast)
        image = F.adjust_saturation_image(image, self.colours.saturation)
        recoloured: Tensor = F.adjust_hue_image(image, self.colours.hue)
        return recoloured
