"""Random crops for augmentation: each training image is cut to a window and resized to its old size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor


@dataclass(frozen=True, slots=True)
class CropWindow:
    """Columns x to x + width and rows y to y + height of an image, which are resized to the size of the image."""

    x: int
    y: int
    width: int
    height: int

    def crop_image(self, image: Tensor) -> Tensor:
        """Crop a (3, H, W) uint8 image and resize it to its old size, bilinear."""
        window = self._slice(image)[None].float()
        resized = F.interpolate(window, size=image.shape[1:], mode="bilinear", align_corners=False)
        return resized[0].round().clamp(0, 255).to(image.dtype)

    def crop_map(self, ids: Tensor) -> Tensor:
        """Crop a (..., H, W) map of ids and resize it to its old size, nearest neighbour."""
        if not ids.numel():
            return ids
        window = self._slice(ids).reshape(1, -1, self.height, self.width).float()  # exact: ids are below 2^24
        return F.interpolate(window, size=ids.shape[-2:], mode="nearest-exact").reshape(ids.shape).to(ids.dtype)

    def crop_boxes(self, boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Move (n, 4) boxes x0, y0, x1, y1 into the resized window and clip them to it.

        size: (height, width) of the image. Returns the boxes and the share of each box's area that is left, (n,).
        """
        height, width = size
        scale = boxes.new_tensor([width / self.width, height / self.height] * 2)
        moved = (boxes - boxes.new_tensor([self.x, self.y] * 2)) * scale
        clipped = torch.minimum(moved.clamp(min=0), boxes.new_tensor([width, height] * 2))
        return clipped, _areas(clipped) / _areas(moved).clamp(min=1e-6)

    def _slice(self, values: Tensor) -> Tensor:
        return values[..., self.y : self.y + self.height, self.x : self.x + self.width]


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def sample_crop(generator: torch.Generator, size: tuple[int, int], min_side: float) -> CropWindow:
    """Draw a window with the aspect ratio of an image of (height, width).

    Its sides are a share of those of the image, uniform from `min_side` to 1 (as torchvision's random_resized_crop
    does with areas and aspect ratios).
    """
    height, width = size
    share = min_side + (1 - min_side) * float(torch.rand((), generator=generator))
    w, h = max(1, round(share * width)), max(1, round(share * height))
    x, y = (int(torch.randint(room + 1, (), generator=generator)) for room in (width - w, height - h))
    return CropWindow(x, y, w, h)
