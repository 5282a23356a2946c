"""Convert joints to heatmaps and back. Heatmap pixel i covers input pixels i * stride to (i + 1) * stride - 1."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def render_heatmaps(joints: Tensor, size: tuple[int, int], stride: int, sigma: float) -> Tensor:
    """Render (N, J, 3) joints in input pixels as (N, J, height, width) Gaussians with maximum 1.

    size: (height, width) of the heatmaps. sigma: standard deviation in heatmap pixels.
    """
    centres = (joints[..., :2].float() + 0.5) / stride - 0.5
    columns, rows = (torch.arange(n, device=joints.device, dtype=torch.float32) for n in (size[1], size[0]))
    across = torch.exp(-((columns - centres[..., :1]) ** 2) / (2 * sigma**2))
    down = torch.exp(-((rows - centres[..., 1:]) ** 2) / (2 * sigma**2))
    return down[..., :, None] * across[..., None, :]


def heatmap_loss(
    heatmaps: Tensor, joints: Tensor, stride: int, sigma: float, *, outside: bool = False, mean: bool = False
) -> Tensor:
    """Return the squared error, summed over a heatmap and averaged over joints.

    The error is scaled so that an all-zero heatmap costs 1 for any size and sigma; with `mean` it is averaged over the
    pixels of the heatmap instead, a constant factor of pi * sigma**2 / (height * width). Joints that are not labelled
    or outside the input add nothing but count in the average over joints, so that the mean over parts of a batch is
    that of the batch. outside: joints count whose peak, cut at 3 sigma, has pixels in the heatmap, as in Simple
    Baselines and mmpose: up to 3 sigma and half a heatmap pixel outside.
    """
    height, width = heatmaps.shape[2:]
    truth = render_heatmaps(joints, (height, width), stride, sigma)
    x, y, visibility = joints.unbind(-1)
    reach = (3 * sigma + 0.5) * stride if outside else 0.0
    low, right, bottom = -0.5 - reach, width * stride - 0.5 + reach, height * stride - 0.5 + reach
    inside = (x > low) & (y > low) & (x < right) & (y < bottom)
    counts = ((visibility > 0) & inside).float()
    error = (heatmaps.float() - truth).square()
    scaled = error.mean((2, 3)) if mean else error.sum((2, 3)) / (math.pi * sigma**2)
    return (scaled * counts).mean()


def decode_heatmaps(heatmaps: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Return (N, J, 2) x and y in input pixels, and (N, J) scores: the highest value of each (N, J, H, W) heatmap.

    The point is the highest pixel, moved by a quarter of a heatmap pixel towards its higher neighbour along x and y
    (Newell et al., Stacked Hourglass Networks, ECCV 2016).
    """
    heat, width = heatmaps.float(), heatmaps.shape[3]
    scores, best = heat.flatten(2).max(2)
    column, row = best % width, best // width
    point = torch.stack(
        [column + _quarter_offset(heat, row, column, -1), row + _quarter_offset(heat, row, column, -2)], -1
    )
    return (point + 0.5) * stride - 0.5, scores


def _quarter_offset(heat: Tensor, row: Tensor, column: Tensor, axis: int) -> Tensor:
    """Return a quarter with the sign of the higher neighbour's direction along an axis; 0 at the edge."""
    at, size = (column, heat.shape[3]) if axis == -1 else (row, heat.shape[2])
    step = 1 if axis == -1 else heat.shape[3]
    best = row * heat.shape[3] + column
    inner = (at > 0) & (at < size - 1)
    flat = heat.flatten(2)
    after, before = (flat.gather(2, torch.where(inner, best + d, best)[..., None])[..., 0] for d in (step, -step))
    return 0.25 * torch.sign(after - before)
