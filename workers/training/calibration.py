"""Batch norm calibration of a network whose weights were trained as part of a supernet."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def calibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Recompute the running statistics of batch norms as plain means over `batches` of images; nothing else changes.

    Statistics collected while weights were shared fit no single network (Yu et al., Universally Slimmable Networks,
    ICCV 2019).
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    momenta, was_training = [norm.momentum for norm in norms], network.training
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    try:
        for number, images in enumerate(batches, 1):
            for norm in norms:
                norm.momentum = 1 / number  # a plain mean over all batches; None would wait for the device in each norm
            network(images)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.train(was_training)
