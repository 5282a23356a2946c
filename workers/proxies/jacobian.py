"""How differently a network answers to small changes of different images (Mellor et al., ICML 2021, first version)."""

from __future__ import annotations

import torch

from workers.proxies.base import Probe, register

_FLOOR = 1e-5


@register("jacov")
def jacov(probe: Probe) -> dict[str, float]:
    """Spread of the eigenvalues of the correlations between the images' gradients of the pyramid's sum; 0 is best.

    Divided by the number of images, so that batches of different sizes compare.
    """
    images = probe.images.float().requires_grad_()
    total = torch.stack([level.float().sum() for level in probe.network.pyramid(images)]).sum()
    (gradient,) = torch.autograd.grad(total, images)
    rows = gradient.flatten(1).double().cpu()
    rows = rows - rows.mean(1, keepdim=True)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-12)  # one image's gradient may be zero
    eigenvalues = torch.linalg.eigvalsh(rows @ rows.T).clamp(min=0) + _FLOOR
    return {"jacov": float(-(eigenvalues.log() + 1 / eigenvalues).mean())}
