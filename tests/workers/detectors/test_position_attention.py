"""The masks of PSANet, position by position."""

from __future__ import annotations

import pytest
import torch

from workers.detectors import mmdet_loading


@pytest.mark.parametrize("kind", ["collect", "distribute"])
@pytest.mark.parametrize("mask", [(3, 5), (9, 7)])  # smaller than the map, and as large as any pair needs
def test_attention_is_read_from_the_mask_around_a_position(kind: str, mask: tuple[int, int]) -> None:
    mmdet_loading.load()
    from mmcv.ops import PSAMask

    height, width = 5, 4
    masks = torch.randn(2, mask[0] * mask[1], height, width)
    attention = PSAMask(kind, mask)(masks).reshape(2, height, width, height, width)
    for y, x, v, u in torch.cartesian_prod(*map(torch.arange, (height, width, height, width))).tolist():
        row, column = y - v + mask[0] // 2, x - u + mask[1] // 2  # of (y, x) in the mask centred on (v, u)
        inside = 0 <= row < mask[0] and 0 <= column < mask[1]
        expected = masks[:, row * mask[1] + column, v, u] if inside else torch.zeros(2)
        pair = (y, x, v, u) if kind == "collect" else (v, u, y, x)
        assert torch.equal(attention[:, *pair], expected)
