"""Training of one head for all bodies of a space, which stay frozen (Mills et al., AIO-P, AAAI 2023)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from workers.messages.shared_recipe import HeadRecipe
from workers.spaces.base import Space
from workers.supernet.latent import FeatureSource
from workers.tasks.base import Task
from workers.training.batches import training_batches
from workers.training.full import normalised
from workers.training.loading import CachedSplit
from workers.training.optimization import Optimization


def widest_levels(space: Space, settings: dict[str, Any] | None = None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Channels and strides of the widest pyramid of a space: what its shared head takes."""
    bodies = [space.build(architecture, settings) for architecture in space.covering()]
    channels = tuple(max(body.channels[i] for body in bodies) for i in range(len(bodies[0].channels)))
    return channels, bodies[0].strides


def fitted(head: nn.Module, shared: nn.Module) -> nn.Module:
    """`head`, built for narrower levels, with the first channels of the shared head's weights."""
    whole = dict(shared.state_dict())
    with torch.no_grad():
        for name, value in head.state_dict().items():
            value.copy_(whole[name][tuple(slice(side) for side in value.shape)])
    return head


def train_head(
    head: nn.Module,
    source: FeatureSource,
    task: Task,
    data: CachedSplit,
    recipe: HeadRecipe,
    report: Callable[[int, float], None] | None = None,
) -> nn.Module:
    """Train `head` for the recipe's steps on the features that `source` gives; returns it with averaged weights.

    Raises DivergedFailure when the loss is no longer finite.
    """
    optimization, noise = Optimization(head, recipe), torch.Generator().manual_seed(recipe.seed)
    device = next(head.parameters()).device
    head.train()
    for step, batch in enumerate(training_batches(len(data), recipe, recipe.seed)):
        images, target = batch.load(data, task)
        pyramid = source.pyramid(normalised(images.to(device)), noise)
        loss = task.loss(head, pyramid, target.to(device))
        torch.autograd.backward(loss)
        optimization.step(step, loss)
        if report is not None:
            report(step + 1, float(loss.detach()))
    return optimization.averaged
