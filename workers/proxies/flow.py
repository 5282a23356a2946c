"""Synaptic flow (Tanaka et al., NeurIPS 2020), as a score of whole networks (Abdelfattah et al., ICLR 2021)."""

from __future__ import annotations

import copy

import torch
from torch import nn

from workers.proxies.base import Probe, register


@register("synflow")
def synflow(probe: Probe) -> dict[str, float]:
    """Return the natural logarithm of 1 plus the sum over the backbone's weights of |weight * gradient|.

    All weights are replaced by their absolute values. The input is all ones and batch norms do not normalise, so
    that the score does not depend on data.
    """
    backbone = copy.deepcopy(probe.network.body).double().eval()
    for module in backbone.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.abs_()
    ones = torch.ones(1, *probe.images.shape[1:], dtype=torch.float64, device=probe.images.device)
    total = torch.stack([level.sum() for level in backbone(ones)]).sum()
    torch.autograd.backward(total)
    flow = sum(float((p.detach() * p.grad).abs().sum()) for p in backbone.parameters() if p.grad is not None)
    return {"synflow": float(torch.tensor(flow, dtype=torch.float64).log1p())}
