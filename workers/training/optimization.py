"""The optimizer, gradient clipping and weight averaging of a recipe, for all training loops."""

from __future__ import annotations

import copy
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from workers.errors import DivergedFailure
from workers.messages.recipe import Recipe
from workers.training.schedules import lr_factor

_CHECK_LOSS_EVERY = 20  # steps; reading the loss waits for the device

AnyModule = TypeVar("AnyModule", bound=nn.Module)


class Optimization(Generic[AnyModule]):
    """The optimizer of a recipe, for the parameters of `module` that require gradients.

    parameters: those that are trained. averaged: a copy of the module with moving averages of its weights and
    statistics; the module itself if the recipe has no `ema`.
    """

    def __init__(self, module: AnyModule, recipe: Recipe) -> None:
        self._recipe = recipe
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimizer = build_optimizer(module, recipe)
        self.averaged: AnyModule = copy.deepcopy(module) if recipe.ema else module
        self._average = MovingAverage(self.averaged, module)

    def step(self, step: int, loss: Tensor) -> None:
        """Update the weights with the accumulated gradients. step: number of the step, from 0.

        Raises DivergedFailure if `loss` is not finite.
        """
        recipe = self._recipe
        if step % _CHECK_LOSS_EVERY == 0 and not bool(torch.isfinite(loss)):
            raise DivergedFailure(f"loss is {loss.item()} at step {step} of {recipe.steps}: lower the learning rate")
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.lr * lr_factor(step, recipe)
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, recipe.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if recipe.ema:
            self._average.update(min(recipe.ema, (1 + step) / (10 + step)))


def build_optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimizer of the parameters that require gradients.

    Without `decay_norms`, biases and the weights of normalisation layers, the parameters with one axis, do not decay.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [{"params": parameters, "weight_decay": recipe.weight_decay}]
    if not recipe.decay_norms:
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, fused=True)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=recipe.lr, fused=True)


class MovingAverage:
    """Exponential moving average of a module's weights and running statistics, in one kernel launch on a GPU.

    Neither module may replace its tensors later.
    """

    def __init__(self, averaged: nn.Module, module: nn.Module) -> None:
        pairs = list(zip(averaged.state_dict().values(), module.state_dict().values(), strict=True))
        floats = [pair for pair in pairs if pair[0].dtype.is_floating_point]
        counts = [pair for pair in pairs if not pair[0].dtype.is_floating_point]
        self._means, self._values = [mean for mean, _ in floats], [value for _, value in floats]
        self._copies, self._counts = [copied for copied, _ in counts], [count for _, count in counts]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """mean = decay * mean + (1 - decay) * value. Integer counters are copied."""
        torch._foreach_lerp_(self._means, self._values, 1 - decay)
        if self._counts:
            torch._foreach_copy_(self._copies, self._counts)
