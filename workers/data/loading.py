"""Decoded, resized images and targets, kept in memory up to a limit."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workers.data.base import DataSet
from workers.tasks.base import Task


class CachedSplit:
    """Images of one split as the task wants them. Decoded on first use; kept while the cache has room."""

    def __init__(
        self, data: DataSet, split: str, task: Task, size: tuple[int, int], limit: int | None, mb: int
    ) -> None:
        self._data, self._split, self._task, self._size = data, split, task, size
        total = data.size(split)
        self._count = total if limit is None else min(limit, total)
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}
        self._room = mb * 2**20

    def __len__(self) -> int:
        return self._count

    def batch(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) uint8 images and the stacked targets."""
        pairs = [self._get(i) for i in indices]
        return torch.stack([image for image, _ in pairs]), torch.stack([target for _, target in pairs])

    def _get(self, index: int) -> tuple[Tensor, Tensor]:
        if index in self._kept:
            return self._kept[index]
        sample = self._data.sample(self._split, index)
        height, width = self._size
        image = Image.fromarray(sample.image)
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        pair = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous(), self._task.target(sample, self._size)
        cost = sum(t.numel() * t.element_size() for t in pair)
        if cost <= self._room:
            self._room -= cost
            self._kept[index] = pair
        return pair
