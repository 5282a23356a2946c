"""Data-parallel training: what the processes of torch's group exchange."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import distributed, nn


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over all processes. Does nothing outside a group and in a group of one.

    All processes must call it with the same parameters, of which the same ones have a gradient.
    """
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])  # one message instead of hundreds
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, part in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
