"""Batches of a training: the order of the images, and their random crops and mirroring."""

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
    """The images of one step.

    indices: of the images. windows: a crop of each image; empty for whole images. mirrored: all images or none.
    """

    indices: list[int]
    windows: list[CropWindow]
    mirrored: bool

    def parts(self, count: int) -> list[TrainingBatch]:
        """Split the batch into `count` parts, fewer if it has fewer images."""
        starts = range(min(count, len(self.indices)))
        return [TrainingBatch(self.indices[i::count], self.windows[i::count], self.mirrored) for i in starts]

    def load(self, data: CachedSplit, task: Task) -> tuple[Tensor, Any]:
        """Return (N, 3, H, W) uint8 images and the task's targets."""
        images, target = data.batch(self.indices, self.windows)
        return (images.flip(-1), task.flip(target)) if self.mirrored else (images, target)


def training_batches(count: int, recipe: Recipe, seed: int) -> Iterator[TrainingBatch]:
    """Yield one batch per step, equal for all architectures of a seed. Each of `count` images comes once per epoch."""
    order = torch.Generator().manual_seed(seed)
    crops = torch.Generator().manual_seed(seed)  # separate, so that crops do not change the order of images
    cropped = recipe.zoom < 1 and (recipe.zoom_below is None or count < recipe.zoom_below)
    queue: list[int] = []
    for _ in range(recipe.steps):
        while len(queue) < recipe.batch:
            queue += torch.randperm(count, generator=order).tolist()
        indices, queue = queue[: recipe.batch], queue[recipe.batch :]
        mirrored = bool(torch.rand((), generator=order) < 0.5)
        windows = [sample_crop(crops, recipe.input_size, recipe.zoom) for _ in indices if cropped]
        yield TrainingBatch(indices, windows, mirrored)
