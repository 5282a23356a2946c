"""Scores from the gradients of the task's loss, all from one pass over the parts of the batch.

snip: Lee et al., ICLR 2019. grad_norm, fisher: as in Abdelfattah et al., ICLR 2021; fisher after Turner et al., ICLR
2020. zico: Li et al., ICLR 2023.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from workers.proxies.base import Probe, register

_EPSILON = 1e-12


@register("saliency")
def saliency(probe: Probe) -> dict[str, float]:
    """Return the natural logarithms of scores of the backbone's convolutions and linear layers."""
    layers = probe.layers()
    gradients: list[list[Tensor]] = [[] for _ in layers]  # by layer, then by part
    fisher = 0.0
    for images, target in probe.parts:
        outputs: list[Tensor] = []

        def collect(module: nn.Module, inputs: Any, output: Tensor, outputs: list[Tensor] = outputs) -> None:
            if output.requires_grad:
                output.retain_grad()
                outputs.append(output)

        hooks = [layer.register_forward_hook(collect) for layer in layers]
        try:
            probe.network.zero_grad(set_to_none=True)
            torch.autograd.backward(probe.loss(images, target))
        finally:
            for hook in hooks:
                hook.remove()
        fisher += sum(_fisher(output) for output in outputs) / len(probe.parts)
        for row, layer in zip(gradients, layers, strict=True):
            gradient = layer.weight.grad
            row.append(torch.zeros_like(layer.weight) if gradient is None else gradient.clone())
    probe.network.zero_grad(set_to_none=True)
    means = [torch.stack(row).mean(0) for row in gradients]
    snip = sum(float((layer.weight.detach() * mean).abs().sum()) for layer, mean in zip(layers, means, strict=True))
    norm = sum(float(mean.norm()) for mean in means)
    return {
        "snip": _log(snip),
        "grad_norm": _log(norm),
        "fisher": _log(fisher),
        "zico": sum(_zico(row) for row in gradients),
    }


def _fisher(output: Tensor) -> float:
    """Return half the mean over images of squared channel saliencies, summed over channels."""
    if output.grad is None:
        return 0.0
    saliencies = (output.detach() * output.grad).flatten(2).sum(2) if output.dim() > 2 else output * output.grad
    return float(saliencies.detach().float().square().mean(0).sum() / 2)


def _zico(gradients: list[Tensor]) -> float:
    """Return the logarithm of the sum over weights of mean |gradient| / standard deviation; 0 if none varies."""
    stacked = torch.stack(gradients).abs().float()
    deviation = stacked.std(0, unbiased=False)
    varies = deviation > 0
    return _log(float((stacked.mean(0)[varies] / deviation[varies]).sum())) if bool(varies.any()) else 0.0


def _log(value: float) -> float:
    return float(torch.tensor(value + _EPSILON, dtype=torch.float64).log())
