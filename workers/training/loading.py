"""Decoded, resized images and targets, kept in memory up to a limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workers.data.base import DataSet, open_data
from workers.messages.recipe import Recipe
from workers.targets.crop import CropWindow
from workers.tasks.base import Task


class CachedSplit:
    """Examples of one split as the task wants them. Decoded on first use; kept while the cache has room."""

    def __init__(
        self, data: DataSet, split: str, task: Task, size: tuple[int, int], limit: int | None, mb: int
    ) -> None:
        self._data, self._split, self._task, self._size = data, split, task, size
        self._units = task.list_examples(data, split)[:limit]
        self._kept: dict[int, tuple[Tensor, Any]] = {}
        self._room = mb * 2**20

    def __len__(self) -> int:
        return len(self._units)

    def batch(self, indices: list[int], windows: Sequence[CropWindow] = ()) -> tuple[Tensor, Any]:
        """(N, 3, H, W) uint8 images and the collated targets, each cut to its window where there are some."""
        pairs = [self._get(i) for i in indices]
        if windows:
            pairs = [
                (window.crop_image(image), self._task.crop(target, window))
                for (image, target), window in zip(pairs, windows, strict=True)
            ]
        return torch.stack([image for image, _ in pairs]), self._task.collate([target for _, target in pairs])

    def _get(self, index: int) -> tuple[Tensor, Any]:
        if index in self._kept:
            return self._kept[index]
        image, position = self._units[index]
        pair = self._task.load_example(self._data.sample(self._split, image), position, self._size)
        cost = sum(part.nbytes for part in pair)
        if cost <= self._room:
            self._room -= cost
            self._kept[index] = pair
        return pair


class SplitCache:
    """The data set that a worker's labels are made on, opened and decoded once."""

    def __init__(self) -> None:
        self._opened: dict[str, tuple[DataSet, CachedSplit, CachedSplit]] = {}

    def open(self, spec: str, task: Task, recipe: Recipe) -> tuple[DataSet, CachedSplit, CachedSplit]:
        """Data set, training split and held-out split, as the recipe wants them."""
        name = f"{spec} {task.name} {recipe.input_size} {recipe.train_images} {recipe.eval_images}"
        if name not in self._opened:
            data, share = open_data(spec, task.name), recipe.cache_mb // 2 or 1
            train = CachedSplit(data, "train", task, recipe.input_size, recipe.train_images, share)
            held_out = CachedSplit(data, "held-out", task, recipe.input_size, recipe.eval_images, share)
            self._opened = {name: (data, train, held_out)}  # one at a time: a campaign has one
        return self._opened[name]
