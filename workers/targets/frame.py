"""The input size of a network, and how images are fitted to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torchvision.transforms.v2.functional as F  # noqa: N812 - its usual name
from torch import Tensor
from torchvision.transforms import InterpolationMode

Size = tuple[int, int]  # height, width in pixels


@dataclass(frozen=True, slots=True)
class Frame:
    """Where an image lands in the input of a network.

    size: (height, width) of the input. keep_ratio: an image is enlarged or reduced as a whole until it touches two
    borders, and padded; an upright image gets an upright frame. cover: it is scaled as a whole until it covers the
    input, and the rest is cropped. Otherwise it is stretched to the input. detail: how
    much larger than in the input an example is kept, so that a view of a part of it stays sharp. slack: up to this
    factor above that size an example is kept as stored, because a GPU resizes it in less time than a core.
    """

    size: Size
    keep_ratio: bool = False
    detail: float = 1.0
    slack: float = 1.0
    cover: bool = False

    def canvas(self, upright: bool) -> Size:
        """Return the size of the input. upright: of images that are higher than wide, if they keep their ratio."""
        short, long = sorted(self.size)
        if not self.keep_ratio:
            return self.size
        return (long, short) if upright else (short, long)

    def content(self, stored: Size, upright: bool) -> Size:
        """Return the size that the whole image has in the input, or with `cover` around it."""
        canvas = self.canvas(upright)
        if self.cover:
            factor = max(canvas[0] / stored[0], canvas[1] / stored[1])
            return max(canvas[0], round(stored[0] * factor)), max(canvas[1], round(stored[1] * factor))
        if not self.keep_ratio:
            return canvas
        factor = min(canvas[0] / stored[0], canvas[1] / stored[1])
        return _side(stored[0] * factor, canvas[0]), _side(stored[1] * factor, canvas[1])

    def kept(self, stored: Size) -> Size:
        """Return the size of the example: as in the input times `detail`, but never larger than stored."""
        content = self.content(stored, stored[0] > stored[1])
        height, width = (min(s, round(c * self.detail)) for s, c in zip(stored, content, strict=True))
        return stored if max(stored[0] / height, stored[1] / width) <= self.slack else (height, width)


def _side(length: float, most: int) -> int:
    return max(1, min(most, round(length)))


def resize_pixels(pixels: Tensor, size: Size, *, ids: bool) -> Tensor:
    """Resize (..., h, w) uint8 or bool. ids: nearest neighbour, for maps; otherwise bilinear with antialiasing."""
    if pixels.shape[-2:] == size or not pixels.numel():
        return pixels if pixels.numel() else pixels.new_zeros((*pixels.shape[:-2], *size))
    how = InterpolationMode.NEAREST_EXACT if ids else InterpolationMode.BILINEAR
    if pixels.dtype == torch.bool:
        return resize_pixels(pixels.view(torch.uint8), size, ids=ids).view(torch.bool)
    resized: Tensor = F.resize_image(pixels, list(size), how, antialias=not ids)
    return resized
