"""Windows that training images are cut to and enlarged from: the random crops of the usual augmentation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor


@dataclass(frozen=True, slots=True)
class CropWindow:
    """Columns x to x + width and rows y to y + height of an image, to be enlarged to the image's size."""

    x: int
    y: int
    width: int
    height: int

    def image(self, image: Tensor) -> Tensor:
        """(3, H, W) uint8 to the same shape, bilinear."""
        part = self._cut(image)[None].float()
        full = F.interpolate(part, size=image.shape[1:], mode="bilinear", align_corners=False)
        return full[0].round().clamp(0, 255).to(image.dtype)

    def map(self, ids: Tensor) -> Tensor:
        """(..., H, W) of numbers that mean something each, to the same shape, nearest neighbour."""
        if not ids.numel():
            return ids
        part = self._cut(ids).reshape(1, -1, self.height, self.width).float()  # exact: ids are below 2^24
        return F.interpolate(part, size=ids.shape[-2:], mode="nearest-exact").reshape(ids.shape).to(ids.dtype)

    def boxes(self, boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """(n, 4) x0, y0, x1, y1 to those in the enlarged image of (height, width), and the share of each left (n)."""
        height, width = size
        scale = boxes.new_tensor([width / self.width, height / self.height] * 2)
        moved = (boxes - boxes.new_tensor([self.x, self.y] * 2)) * scale
        inside = torch.minimum(moved.clamp(min=0), boxes.new_tensor([width, height] * 2))
        return inside, _areas(inside) / _areas(moved).clamp(min=1e-6)

    def _cut(self, values: Tensor) -> Tensor:
        return values[..., self.y : self.y + self.height, self.x : self.x + self.width]


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def sample_crop(generator: torch.Generator, size: tuple[int, int], least: float) -> CropWindow:
    """A window shaped as an image of (height, width); its sides are a share of it drawn from `least` to 1."""
    height, width = size
    share = least + (1 - least) * float(torch.rand((), generator=generator))
    w, h = max(1, round(share * width)), max(1, round(share * height))
    x, y = (int(torch.randint(room + 1, (), generator=generator)) for room in (width - w, height - h))
    return CropWindow(x, y, w, h)
