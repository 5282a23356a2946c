"""Pictures of predictions, drawn by torchvision. An image is uint8 (3, H, W), as are all results."""

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

SHORTEST = 384  # the longer side of a picture is at least about so many pixels, to be looked at
CONFIDENT = 0.3  # a box below this score is not drawn
_OPACITY = 0.6


def enlarged(image: Tensor, size: tuple[int, int] | None = None) -> tuple[Tensor, int]:
    """The image at (height, width), times a whole factor that makes it large enough to look at; and the factor."""
    height, width = size or (int(image.shape[1]), int(image.shape[2]))
    factor = max(1, round(SHORTEST / max(height, width)))
    resized = F.interpolate(image[None].float(), size=(height * factor, width * factor), mode="bilinear")
    return resized[0].round().clamp(0, 255).byte().cpu(), factor


def colour(number: int) -> tuple[int, int, int]:
    """A colour of its own for every small number: hues by the golden ratio."""
    r, g, b = colorsys.hsv_to_rgb((number * 0.61803) % 1, 0.85 - 0.25 * (number % 3) / 2, 1.0)
    return round(255 * r), round(255 * g), round(255 * b)


def with_caption(image: Tensor, text: str) -> Tensor:
    """The image with a line of text on top."""
    canvas = Image.fromarray(image.permute(1, 2, 0).numpy())
    pen = ImageDraw.Draw(canvas)
    pen.rectangle([0, 0, canvas.width, 14], fill=(0, 0, 0))
    pen.text((3, 1), text, fill=(255, 255, 255))
    return torch.from_numpy(np.array(canvas)).permute(2, 0, 1)


def with_boxes(image: Tensor, boxes: NDArray[Any], labels: Sequence[int], names: Sequence[str]) -> Tensor:
    """The image with (n, 4) boxes x0, y0, x1, y1, each in its class's colour and with its name."""
    if not len(boxes):
        return image
    limits = torch.tensor([image.shape[2], image.shape[1]] * 2) - 1
    inside = torch.minimum(torch.from_numpy(np.asarray(boxes)).float().clamp(min=0), limits)
    colours = [colour(label) for label in labels]
    drawn: Tensor = draw_bounding_boxes(image, inside, [names[label] for label in labels], colours, width=2)
    return drawn


def with_masks(image: Tensor, masks: Sequence[NDArray[Any]], labels: Sequence[int]) -> Tensor:
    """The image with masks of its own size in their classes' colours, of the first where several lie on a pixel."""
    if not masks:
        return image
    stacked = torch.from_numpy(np.stack(masks).astype(np.bool_))
    stacked &= stacked.cumsum(0) == 1  # torchvision blackens what belongs to several
    drawn: Tensor = draw_segmentation_masks(image, stacked, _OPACITY, [colour(label) for label in labels])
    return drawn


def with_map(image: Tensor, ids: Tensor) -> Tensor:
    """The image under an (h, w) map of small numbers, each in its colour; VOID and negative ones stay clear."""
    full = F.interpolate(ids[None, None].float(), size=image.shape[1:], mode="nearest")[0, 0].long()
    present = [int(i) for i in np.unique(full.numpy()) if i >= 0 and i != VOID]
    return with_masks(image, [(full == i).numpy() for i in present], present)


def with_joints(image: Tensor, points: Tensor, limbs: Sequence[tuple[int, int]], seen: Tensor | None = None) -> Tensor:
    """The image with a person's (J, 2) joints and limbs between them; those not `seen` are left out."""
    visibility = None if seen is None else seen[None].bool()
    drawn: Tensor = draw_keypoints(
        image, points[None].float(), list(limbs), "red", radius=3, width=2, visibility=visibility
    )
    return drawn
