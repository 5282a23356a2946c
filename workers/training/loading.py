"""Decoded, resized images and targets, cached in memory up to a limit."""

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
    """The examples of one split for one task. Decoded on first use; cached while there is space."""

    def __init__(
        self, data: DataSet, split: str, task: Task, size: tuple[int, int], limit: int | None, cache_mb: int
    ) -> None:
        """limit: number of examples to use; all if None."""
        self._data, self._split, self._task, self._size = data, split, task, size
        self._examples = task.list_examples(data, split)[:limit]
        self._cache: dict[int, tuple[Tensor, Any]] = {}
        self._free_bytes = cache_mb * 2**20

    def __len__(self) -> int:
        return len(self._examples)

    def batch(self, indices: list[int], windows: Sequence[CropWindow] = ()) -> tuple[Tensor, Any]:
        """Return (N, 3, H, W) uint8 images and the collated targets. windows: a crop of each example; none if empty."""
        pairs = [self._get(i) for i in indices]
        if windows:
            pairs = [
                (window.crop_image(image), self._task.crop(target, window))
                for (image, target), window in zip(pairs, windows, strict=True)
            ]
        return torch.stack([image for image, _ in pairs]), self._task.collate([target for _, target in pairs])

    def _get(self, index: int) -> tuple[Tensor, Any]:
        if index in self._cache:
            return self._cache[index]
        image, position = self._examples[index]
        pair = self._task.load_example(self._data.sample(self._split, image), position, self._size)
        size = sum(part.nbytes for part in pair)
        if size <= self._free_bytes:
            self._free_bytes -= size
            self._cache[index] = pair
        return pair


class SplitCache:
    """The data set of a worker's labels, opened and decoded once."""

    def __init__(self) -> None:
        self._opened: dict[str, tuple[DataSet, CachedSplit, CachedSplit]] = {}

    def open(self, spec: str, task: Task, recipe: Recipe) -> tuple[DataSet, CachedSplit, CachedSplit]:
        """Return data set, training split and held-out split with the sizes that the recipe sets."""
        name = f"{spec} {task.name} {recipe.input_size} {recipe.train_images} {recipe.eval_images}"
        if name not in self._opened:
            data, split_mb = open_data(spec, task.name), recipe.cache_mb // 2 or 1
            train = CachedSplit(data, "train", task, recipe.input_size, recipe.train_images, split_mb)
            held_out = CachedSplit(data, "held-out", task, recipe.input_size, recipe.eval_images, split_mb)
            self._opened = {name: (data, train, held_out)}  # a campaign needs one at a time
        return self._opened[name]
