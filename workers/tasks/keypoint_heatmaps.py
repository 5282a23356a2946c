"""Joints as heatmaps and back. Heatmap pixel i covers input pixels i * stride to (i + 1) * stride, exclusive."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def render(joints: Tensor, size: tuple[int, int], stride: int, sigma: float) -> Tensor:
    """(N, J, 3) joints in input pixels to (N, J, height, width) Gaussians, 1 at a joint, sigma in heatmap pixels."""
    centres = (joints[..., :2].float() + 0.5) / stride - 0.5
    columns, rows = (torch.arange(n, device=joints.device, dtype=torch.float32) for n in (size[1], size[0]))
    across = torch.exp(-((columns - centres[..., :1]) ** 2) / (2 * sigma**2))
    down = torch.exp(-((rows - centres[..., 1:]) ** 2) / (2 * sigma**2))
    return down[..., :, None] * across[..., None, :]


def heatmap_loss(heatmaps: Tensor, joints: Tensor, stride: int, sigma: float) -> Tensor:
    """Squared error summed over a heatmap, mean over all joints; 1 for empty heatmaps, whatever their size and sigma.

    A joint that is not labelled, or outside the input, adds nothing. It does count in the mean, so that parts of a
    batch weigh as much as their sizes say.
    """
    height, width = heatmaps.shape[2:]
    truth = render(joints, (height, width), stride, sigma)
    x, y, visibility = joints.unbind(-1)
    inside = (x > -0.5) & (y > -0.5) & (x < width * stride - 0.5) & (y < height * stride - 0.5)
    counts = ((visibility > 0) & inside).float()
    error = (heatmaps.float() - truth).square().sum((2, 3)) / (math.pi * sigma**2)
    return (error * counts).mean()


def decode(heatmaps: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """(N, J, H, W) to (N, J, 2) x and y in input pixels, and (N, J) scores: the value at the highest pixel.

    The point is a quarter of a heatmap pixel off the highest one, towards its higher neighbour, along x and y
    (Newell et al., TransferModel Hourglass Networks, ECCV 2016).
    """
    heat, width = heatmaps.float(), heatmaps.shape[3]
    scores, best = heat.flatten(2).max(2)
    column, row = best % width, best // width
    point = torch.stack([column + _lean(heat, row, column, -1), row + _lean(heat, row, column, -2)], -1)
    return (point + 0.5) * stride - 0.5, scores


def _lean(heat: Tensor, row: Tensor, column: Tensor, axis: int) -> Tensor:
    """A quarter towards the higher neighbour along an axis; 0 at the edge."""
    at, size = (column, heat.shape[3]) if axis == -1 else (row, heat.shape[2])
    step = 1 if axis == -1 else heat.shape[3]
    best = row * heat.shape[3] + column
    inner = (at > 0) & (at < size - 1)
    flat = heat.flatten(2)
    after, before = (flat.gather(2, torch.where(inner, best + d, best)[..., None])[..., 0] for d in (step, -step))
    return 0.25 * torch.sign(after - before)
