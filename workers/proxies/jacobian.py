"""Correlation of the gradients of different images (Mellor et al., ICML 2021, first version)."""

from __future__ import annotations

import torch

from workers.proxies.base import Probe, register

_EPSILON = 1e-5


@register("jacov")
def jacov(probe: Probe) -> dict[str, float]:
    """Return a score of the eigenvalues of the correlation matrix of the images' gradients of the pyramid's sum.

    The score is highest if the gradients are uncorrelated. It is divided by the number of images, so that batches of
    different sizes are comparable.
    """
    images = probe.images.float().requires_grad_()
    total = torch.stack([level.float().sum() for level in probe.network.pyramid(images)]).sum()
    (gradient,) = torch.autograd.grad(total, images)
    rows = gradient.flatten(1).double().cpu()
    rows = rows - rows.mean(1, keepdim=True)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-12)  # one image's gradient may be zero
    eigenvalues = torch.linalg.eigvalsh(rows @ rows.T).clamp(min=0) + _EPSILON
    return {"jacov": float(-(eigenvalues.log() + 1 / eigenvalues).mean())}
