"""Learning rate schedules."""

from __future__ import annotations

import math

from workers.messages.recipe import Recipe


def lr_factor(step: int, recipe: Recipe) -> float:
    """Return the fraction of the peak learning rate at a step, from 0.

    Without `warmup_start`, the schedule follows the warm-up. With it, both start at step 0 and are multiplied, as
    OpenMMLab's trainings do (mmengine, LinearLR with MultiStepLR or PolyLR).
    """
    warmup = max(1, round(recipe.warmup * recipe.steps)) if recipe.warmup_steps is None else recipe.warmup_steps
    if recipe.warmup_start is None:
        if step < warmup:
            return (step + 1) / warmup
        return _scheduled(step, (step - warmup) / max(1, recipe.steps - warmup), recipe)
    rise = min(1.0, step / max(1, warmup - 1)) if warmup else 1.0
    start = recipe.warmup_start
    return (start + (1 - start) * rise) * _scheduled(step, step / max(1, recipe.steps - 1), recipe)


def _scheduled(step: int, progress: float, recipe: Recipe) -> float:
    """Return the factor without warm-up. progress: through the schedule, from 0 to 1."""
    if recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "milestones":
        return float(recipe.gamma ** sum(step >= round(m * recipe.steps) for m in recipe.milestones))
    falling = (
        0.5 * (1 + math.cos(math.pi * progress)) if recipe.schedule == "cosine" else (1 - progress) ** recipe.power
    )
    return recipe.final_lr + (1 - recipe.final_lr) * falling
