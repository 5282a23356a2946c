"""mmcv's point-wise spatial attention masks (Zhao et al., PSANet, ECCV 2018), without the gradient.

Every position of a map has a mask that is centred on it. They become attention between all pairs of positions, 0 where
the mask of a position does not reach.
"""

from __future__ import annotations

import torch
from torch import Tensor

_COLLECT = 0  # mmcv's psa_type; 1 is "distribute"


def psamask_forward(
    masks: Tensor,
    output: Tensor,
    *,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Write the attention, (N, H x W, H, W), into `output`. masks: (N, h_mask x w_mask, H, W).

    Collected, output[:, j, i] is the value at j of the mask of i; distributed, it is the value at i of the mask of j.
    """
    device = masks.device
    rows, inside_rows = _offsets(h_feature, h_mask, half_h_mask, device)
    columns, inside_columns = _offsets(w_feature, w_mask, half_w_mask, device)
    # (H, W, H, W): other position, own position.
    index = rows[:, None, :, None] * w_mask + columns[None, :, None, :]
    inside = inside_rows[:, None, :, None] & inside_columns[None, :, None, :]
    positions = h_feature * w_feature
    index, inside = (part.reshape(1, positions, h_feature, w_feature) for part in (index, inside))
    values = masks.gather(1, index.expand(num_, -1, -1, -1)) * inside
    if psa_type != _COLLECT:
        values = values.reshape(num_, positions, positions).transpose(1, 2)
    output.copy_(values.reshape(output.shape))


def _offsets(size: int, mask: int, half: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the index in the mask of each (other, own) position along one side, and whether it is inside the mask."""
    places = torch.arange(size, device=device)
    index = places[:, None] - places[None, :] + half
    return index.clamp(0, mask - 1), (index >= 0) & (index < mask)
