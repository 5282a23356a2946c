"""Activation patterns of different images (Mellor et al., Neural Architecture Search without Training, ICML 2021)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from workers.proxies.base import Probe, register

_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.GELU)


@register("naswot")
@torch.no_grad()
def naswot(probe: Probe) -> dict[str, float]:
    """Return the log determinant of a kernel: the number of units that are on, or off, for both of two images.

    Counted are the inputs of the backbone's activations. 1 is added to the diagonal, so that the determinant is never
    0, whose logarithm no label may have. A network without activations scores 0.
    """
    count = len(probe.images)
    kernel = torch.zeros(count, count, dtype=torch.float64)

    def count_agreement(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal kernel
        on = (inputs[0] > 0).flatten(1).double().cpu()  # before the activation, which may overwrite its input
        kernel += on @ on.T + (1 - on) @ (1 - on).T

    activations = [module for module in probe.network.body.modules() if isinstance(module, _ACTIVATIONS)]
    hooks = [activation.register_forward_pre_hook(count_agreement) for activation in activations]
    try:
        probe.network.pyramid(probe.images)
    finally:
        for hook in hooks:
            hook.remove()
    full: Tensor = kernel + torch.eye(count, dtype=torch.float64)
    return {"naswot": float(torch.linalg.slogdet(full).logabsdet)}
