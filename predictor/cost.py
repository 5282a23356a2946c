"""Count FLOPs and parameters of any network on the meta device, without weights or arithmetic."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from predictor.graph.formulas import library_formulas


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one forward pass of one image.

    flops: multiply-adds counted as two operations, convolutions and matrix products only.
    params: trainable and frozen parameters, buffers excluded.
    """

    flops: float
    params: float


def measure_cost(module: nn.Module, input_size: tuple[int, int, int]) -> Cost:
    """Return the cost of `module` on one image of `input_size` = (channels, height, width)."""
    on_meta = all(p.is_meta for p in module.parameters())
    copied = (module if on_meta else copy.deepcopy(module).to("meta")).eval()
    counter = FlopCounterMode(display=False, custom_mapping=library_formulas())
    with torch.no_grad(), counter:
        copied(torch.empty(1, *input_size, device="meta"))
    params = sum(p.numel() for p in copied.parameters())
    return Cost(flops=float(counter.get_total_flops()), params=float(params))
