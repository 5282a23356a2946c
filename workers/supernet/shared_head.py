"""Training of one head for all bodies of a space, which stay frozen (Mills et al., AIO-P, AAAI 2023)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workers.architecture import Architecture
from workers.data.loading import CachedSplit
from workers.errors import DivergedFailure
from workers.recipe import Recipe
from workers.spaces.base import Body, Space
from workers.supernet.calibration import calibrate
from workers.supernet.latent import FeatureSource
from workers.supernet.weights import SharedWeights
from workers.tasks.base import Task
from workers.tasks.zoom import draw_window
from workers.training import Network, average_weights, lr_factor, normalised, training_batches

_CHECK_LOSS_EVERY = 20  # reading the loss waits for the device


class FrozenBodies:
    """Bodies with a space's shared weights, their batch norms measured on images of the task at hand."""

    def __init__(
        self, space: Space, shared: SharedWeights, build: Callable[[Architecture], Network], images: Sequence[Tensor]
    ) -> None:
        """build: the network whose weights are shared, head and all. images: normalised batches to calibrate on."""
        self._space, self._shared, self._build, self._images = space, shared, build, images

    def __call__(self, architecture: Architecture) -> Body:
        """A body in evaluation mode, without gradients."""
        network = self._build(architecture)
        self._shared.copy_into(architecture, network)
        body = network.body
        assert isinstance(body, Body)
        calibrate(body, self._images)
        return body.eval().requires_grad_(False)


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
    recipe: Recipe,
    seed: int,
    report: Callable[[int, float], None] | None = None,
) -> nn.Module:
    """Train `head` for the recipe's steps on the features that `source` gives; returns it with averaged weights.

    Raises DivergedFailure when the loss is no longer finite.
    """
    optimizer = torch.optim.AdamW(head.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    averaged, noise = copy.deepcopy(head), torch.Generator().manual_seed(seed)
    head.train()
    for step, (indices, flip) in enumerate(training_batches(len(data), recipe.batch, recipe.steps, seed)):
        windows = [draw_window(noise, recipe.input_size, recipe.zoom) for _ in indices if recipe.zoom < 1]
        images, target = data.batch(indices, windows)
        if flip:
            images, target = images.flip(-1), task.flip(target)
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * lr_factor(step, recipe)
        loss = task.loss(head, source.pyramid(normalised(images), noise), target)
        if step % _CHECK_LOSS_EVERY == 0 and not bool(torch.isfinite(loss)):
            raise DivergedFailure(f"loss is {loss.item()} at step {step} of {recipe.steps}: lower the learning rate")
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(head.parameters(), recipe.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average_weights(averaged, head, min(recipe.ema, (1 + step) / (10 + step)))
        if report is not None:
            report(step + 1, float(loss.detach()))
    return averaged
