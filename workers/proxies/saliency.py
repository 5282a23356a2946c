"""Scores from the gradients of the task's own loss, all from one pass over the parts of the batch.

snip: Lee et al., ICLR 2019. grad_norm, fisher: as in Abdelfattah et al., ICLR 2021; fisher after Turner et al., ICLR
2020. zico: Li et al., ICLR 2023.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from workers.proxies.base import Probe, register

_FLOOR = 1e-12


@register("saliency")
def saliency(probe: Probe) -> dict[str, float]:
    """Of the body's convolutions and linear layers, as natural logarithms: they span many orders of magnitude."""
    layers = probe.layers()
    gradients: list[list[Tensor]] = [[] for _ in layers]  # a layer, then a part
    fisher = 0.0
    for images, target in probe.parts:
        kept: list[Tensor] = []

        def keep(module: nn.Module, inputs: Any, output: Tensor, kept: list[Tensor] = kept) -> None:
            if output.requires_grad:
                output.retain_grad()
                kept.append(output)

        hooks = [layer.register_forward_hook(keep) for layer in layers]
        try:
            probe.network.zero_grad(set_to_none=True)
            torch.autograd.backward(probe.loss(images, target))
        finally:
            for hook in hooks:
                hook.remove()
        fisher += sum(_fisher(output) for output in kept) / len(probe.parts)
        for row, layer in zip(gradients, layers, strict=True):
            gradient = layer.weight.grad
            row.append(torch.zeros_like(layer.weight) if gradient is None else gradient.clone())
    probe.network.zero_grad(set_to_none=True)
    means = [torch.stack(row).mean(0) for row in gradients]
    snip = sum(float((layer.weight * mean).abs().sum()) for layer, mean in zip(layers, means, strict=True))
    norm = sum(float(mean.norm()) for mean in means)
    return {
        "snip": _log(snip),
        "grad_norm": _log(norm),
        "fisher": _log(fisher),
        "zico": sum(_zico(row) for row in gradients),
    }


def _fisher(output: Tensor) -> float:
    """Half the mean over images of squared channel saliencies, summed over channels."""
    if output.grad is None:
        return 0.0
    saliencies = (output.detach() * output.grad).flatten(2).sum(2) if output.dim() > 2 else output * output.grad
    return float(saliencies.detach().float().square().mean(0).sum() / 2)


def _zico(gradients: list[Tensor]) -> float:
    """Logarithm of the sum over a layer's weights of mean |gradient| over its deviation; 0 for a layer without."""
    stacked = torch.stack(gradients).abs().float()
    deviation = stacked.std(0, unbiased=False)
    moving = deviation > 0
    return _log(float((stacked.mean(0)[moving] / deviation[moving]).sum())) if bool(moving.any()) else 0.0


def _log(value: float) -> float:
    return float(torch.tensor(value + _FLOOR, dtype=torch.float64).log())
