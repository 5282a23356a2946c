"""Which units are on for which image (Mellor et al., Neural Architecture Search without Training, ICML 2021)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from workers.proxies.base import Probe, register

_GATES = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.GELU)


@register("naswot")
@torch.no_grad()
def naswot(probe: Probe) -> dict[str, float]:
    """Log determinant of the kernel that counts units in which two images agree, over the body's activations.

    -inf, which no label may hold, is avoided by one unit of disagreement a unit: a network without gates scores 0.
    """
    count = len(probe.images)
    kernel = torch.zeros(count, count, dtype=torch.float64)

    def count_agreement(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal kernel
        on = (inputs[0] > 0).flatten(1).double().cpu()  # before the gate, which may overwrite its input
        kernel += on @ on.T + (1 - on) @ (1 - on).T

    gates = [module for module in probe.network.body.modules() if isinstance(module, _GATES)]
    hooks = [gate.register_forward_pre_hook(count_agreement) for gate in gates]
    try:
        probe.network.pyramid(probe.images)
    finally:
        for hook in hooks:
            hook.remove()
    full: Tensor = kernel + torch.eye(count, dtype=torch.float64)
    return {"naswot": float(torch.linalg.slogdet(full).logabsdet)}
