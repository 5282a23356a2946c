"""What every training loop of a recipe has in common: optimizer, schedule, clipping, averaged weights."""

from __future__ import annotations

import copy
import math
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from workers.errors import DivergedFailure
from workers.messages.recipe import Recipe

_CHECK_LOSS_EVERY = 20  # reading the loss waits for the device

AnyModule = TypeVar("AnyModule", bound=nn.Module)


class Optimization(Generic[AnyModule]):
    """AdamW as a recipe wants it, for the parameters of `module` that want gradients.

    averaged: the module with the mean of its weights and statistics; the module itself where the recipe has no `ema`.
    """

    def __init__(self, module: AnyModule, recipe: Recipe) -> None:
        self._recipe = recipe
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self._parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
        self.averaged: AnyModule = copy.deepcopy(module) if recipe.ema else module
        self._average = MovingAverage(self.averaged, module)

    def step(self, step: int, loss: Tensor) -> None:
        """Use the gradients that have been added up; `step` counts from 0.

        Raises DivergedFailure when `loss` is no longer finite.
        """
        recipe = self._recipe
        if step % _CHECK_LOSS_EVERY == 0 and not bool(torch.isfinite(loss)):
            raise DivergedFailure(f"loss is {loss.item()} at step {step} of {recipe.steps}: lower the learning rate")
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.lr * lr_factor(step, recipe)
        nn.utils.clip_grad_norm_(self._parameters, recipe.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if recipe.ema:
            self._average.update(min(recipe.ema, (1 + step) / (10 + step)))


def lr_factor(step: int, recipe: Recipe) -> float:
    """Share of the peak learning rate at a step, counted from 0."""
    warm = max(1, round(recipe.warmup * recipe.steps))
    if step < warm:
        return (step + 1) / warm
    if recipe.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, recipe.steps - warm)))


class MovingAverage:
    """Moves the weights and running statistics of one module towards another's, all in one launch on a GPU.

    Both modules keep the tensors they have when this is made.
    """

    def __init__(self, averaged: nn.Module, module: nn.Module) -> None:
        pairs = list(zip(averaged.state_dict().values(), module.state_dict().values(), strict=True))
        floats = [pair for pair in pairs if pair[0].dtype.is_floating_point]
        counts = [pair for pair in pairs if not pair[0].dtype.is_floating_point]
        self._means, self._now = [mean for mean, _ in floats], [now for _, now in floats]
        self._copies, self._counts = [copied for copied, _ in counts], [count for _, count in counts]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """mean = decay * mean + (1 - decay) * now; counters are copied."""
        torch._foreach_lerp_(self._means, self._now, 1 - decay)
        if self._counts:
            torch._foreach_copy_(self._copies, self._counts)
