"""The order in which a training sees its images, and how they are cut and mirrored on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workers.messages.recipe import Recipe
from workers.targets.crop import CropWindow, sample_crop
from workers.tasks.base import Task
from workers.training.loading import CachedSplit


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Images of one step by their indices, a window for each (none: whole images), all mirrored or none."""

    indices: list[int]
    windows: list[CropWindow]
    mirrored: bool

    def parts(self, count: int) -> list[TrainingBatch]:
        """The batch in `count` parts, fewer where it has fewer images."""
        starts = range(min(count, len(self.indices)))
        return [TrainingBatch(self.indices[i::count], self.windows[i::count], self.mirrored) for i in starts]

    def load(self, data: CachedSplit, task: Task) -> tuple[Tensor, Any]:
        """(N, 3, H, W) uint8 images and the task's targets."""
        images, target = data.batch(self.indices, self.windows)
        return (images.flip(-1), task.flip(target)) if self.mirrored else (images, target)


def training_batches(count: int, recipe: Recipe, seed: int) -> Iterator[TrainingBatch]:
    """One batch a step, the same for every architecture of a seed; every image of `count` once an epoch."""
    order = torch.Generator().manual_seed(seed)
    cuts = torch.Generator().manual_seed(seed)  # of its own, so that images come in the same order without windows
    cut = recipe.zoom < 1 and (recipe.zoom_below is None or count < recipe.zoom_below)
    queue: list[int] = []
    for _ in range(recipe.steps):
        while len(queue) < recipe.batch:
            queue += torch.randperm(count, generator=order).tolist()
        indices, queue = queue[: recipe.batch], queue[recipe.batch :]
        mirrored = bool(torch.rand((), generator=order) < 0.5)
        windows = [sample_crop(cuts, recipe.input_size, recipe.zoom) for _ in indices if cut]
        yield TrainingBatch(indices, windows, mirrored)
