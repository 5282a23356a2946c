"""Training of one head for all backbones of a space, which are frozen (Mills et al., AIO-P, AAAI 2023)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from workers.loading.batches import ImageSplit
from workers.messages.shared_recipe import HeadRecipe
from workers.spaces.base import Space
from workers.supernet.latent import FeatureSource
from workers.training.full import memory_format
from workers.training.normalisation import Normalisation
from workers.training.optimization import Optimization
from workers.training.resumption import Resumption

_REPORT_EVERY = 20  # steps on a GPU


def widest_pyramid(space: Space, settings: dict[str, Any] | None = None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return channels and strides of the widest pyramid of a space, the input of its shared head."""
    backbones = [space.build(architecture, settings) for architecture in space.covering_architectures()]
    channels = tuple(max(backbone.channels[i] for backbone in backbones) for i in range(len(backbones[0].channels)))
    return channels, backbones[0].strides


def copy_shared_head(head: nn.Module, shared: nn.Module) -> nn.Module:
    """Copy the first channels of the shared head's weights into `head`, which has at most as many. Returns `head`."""
    weights = dict(shared.state_dict())
    with torch.no_grad():
        for name, value in head.state_dict().items():
            value.copy_(weights[name][tuple(slice(side) for side in value.shape)])
    return head


def train_head(
    head: nn.Module,
    source: FeatureSource,
    data: ImageSplit,
    recipe: HeadRecipe,
    report: Callable[[int, float], None] | None = None,
    resumption: Resumption | None = None,
    channels: Sequence[int] | None = None,
) -> nn.Module:
    """Train `head` for the recipe's steps on the features of `source`. Returns the head with averaged weights.

    report: is called with step, from 1, and loss, after each step on a CPU, after some on a GPU: reading the loss waits
    for it. resumption: saves checkpoints, and has the one to continue from.

    channels: of the levels that the head takes. Channels that no backbone of a batch has are zero, which is what
    `copy_shared_head` makes of them.

    Raises DivergedFailure if the loss is not finite.
    """
    optimization = Optimization(head, recipe)
    resumption = resumption or Resumption(None, "", recipe.checkpoint_s)
    head.train()
    first = resumption.start(head, optimization, recipe.steps)
    source.skip(first)
    normalise = Normalisation.of(recipe)
    for step, (batch,) in enumerate(data.training(recipe.steps, recipe.seed, first), first):
        device = batch.images.device
        # Noise is as large as the features of a whole batch, too much to draw on one core for a GPU.
        noise = torch.Generator(device).manual_seed(recipe.seed << 32 | step)
        layout = torch.preserve_format if device.type == "cpu" else memory_format(recipe, device)
        images = normalise(batch.images).to(memory_format=layout)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            pyramid = source.pyramid(images, noise)
            loss = data.task.loss(head, _widened(pyramid, channels) if channels else pyramid, batch.target)
        torch.autograd.backward(loss)
        optimization.step(step, loss)
        resumption.after_step(step + 1, recipe.steps, head, optimization)
        if report is not None and (device.type == "cpu" or (step + 1) % _REPORT_EVERY == 0 or step + 1 == recipe.steps):
            report(step + 1, float(loss.detach()))
    return optimization.averaged


def _widened(pyramid: Sequence[Tensor], channels: Sequence[int]) -> list[Tensor]:
    """Return (N, C_i, H, W) levels with zeros up to `channels`."""
    return [F.pad(level, (0, 0, 0, 0, 0, c - level.shape[1])) for level, c in zip(pyramid, channels, strict=True)]
