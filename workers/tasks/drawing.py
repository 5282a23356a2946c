"""Draw annotations and predictions on images, by torchvision. Images are uint8 (3, H, W), results too."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.utils import draw_bounding_boxes, draw_keypoints, draw_segmentation_masks

from workers.data.base import VOID

_MIN_LONGER_SIDE = 384  # approximate: small images are enlarged to it so that a person can see details
MIN_DRAWN_SCORE = 0.3  # detections below this score are not drawn
_OPACITY = 0.6


def enlarge(image: Tensor, size: tuple[int, int] | None = None) -> tuple[Tensor, int]:
    """Resize an image to (height, width) times a whole factor that makes details visible.

    size: (height, width), by default that of the image. Returns the image and the factor.
    """
    height, width = size or (int(image.shape[1]), int(image.shape[2]))
    factor = max(1, round(_MIN_LONGER_SIDE / max(height, width)))
    resized = F.interpolate(image[None].float(), size=(height * factor, width * factor), mode="bilinear")
    return resized[0].round().clamp(0, 255).byte().cpu(), factor


def class_colour(number: int) -> tuple[int, int, int]:
    """Return an RGB colour that differs between small numbers: hues spaced by the golden ratio."""
    r, g, b = colorsys.hsv_to_rgb((number * 0.61803) % 1, 0.85 - 0.25 * (number % 3) / 2, 1.0)
    return round(255 * r), round(255 * g), round(255 * b)


def with_caption(image: Tensor, text: str) -> Tensor:
    """Draw a line of text over the top of the image."""
    canvas = Image.fromarray(image.permute(1, 2, 0).numpy())
    pen = ImageDraw.Draw(canvas)
    pen.rectangle([0, 0, canvas.width, 14], fill=(0, 0, 0))
    pen.text((3, 1), text, fill=(255, 255, 255))
    return torch.from_numpy(np.array(canvas)).permute(2, 0, 1)


def with_boxes(image: Tensor, boxes: NDArray[Any], labels: Sequence[int], names: Sequence[str]) -> Tensor:
    """Draw (n, 4) boxes x0, y0, x1, y1, each in the colour of its class and with its name."""
    if not len(boxes):
        return image
    limits = torch.tensor([image.shape[2], image.shape[1]] * 2) - 1
    inside = torch.minimum(torch.from_numpy(np.asarray(boxes)).float().clamp(min=0), limits)
    colours = [class_colour(label) for label in labels]
    drawn: Tensor = draw_bounding_boxes(image, inside, [names[label] for label in labels], colours, width=2)
    return drawn


def with_masks(image: Tensor, masks: Sequence[NDArray[Any]], labels: Sequence[int]) -> Tensor:
    """Draw masks of the image's size in the colours of their classes. Where masks overlap, the first is drawn."""
    if not masks:
        return image
    stacked = torch.from_numpy(np.stack(masks).astype(np.bool_))
    stacked &= stacked.cumsum(0) == 1  # torchvision draws overlaps black
    drawn: Tensor = draw_segmentation_masks(image, stacked, _OPACITY, [class_colour(label) for label in labels])
    return drawn


def with_map(image: Tensor, ids: Tensor) -> Tensor:
    """Draw an (h, w) map of class ids in their colours; pixels with VOID or negative ids are not drawn on."""
    full = F.interpolate(ids[None, None].float(), size=image.shape[1:], mode="nearest")[0, 0].long()
    present = [int(i) for i in np.unique(full.numpy()) if i >= 0 and i != VOID]
    return with_masks(image, [(full == i).numpy() for i in present], present)


def with_joints(
    image: Tensor, points: Tensor, limbs: Sequence[tuple[int, int]], labelled: Tensor | None = None
) -> Tensor:
    """Draw a person's (J, 2) joints and the limbs between them; only those `labelled` (J,), if given."""
    visibility = None if labelled is None else labelled[None].bool()
    drawn: Tensor = draw_keypoints(
        image, points[None].float(), list(limbs), "red", radius=3, width=2, visibility=visibility
    )
    return drawn
