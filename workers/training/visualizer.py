"""Pictures of what a network predicts, written while it is evaluated."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from workers.data.base import Vocabulary
from workers.tasks.base import Task

log = logging.getLogger(__name__)

_GAP = 4  # white pixels between the two halves


class PredictionVisualizer:
    """The first `count` held-out examples of one label as FOLDER/0.png and so on: annotated left, predicted right."""

    def __init__(self, folder: Path, count: int, task: Task, vocabulary: Vocabulary) -> None:
        self._folder, self._count = folder, count
        self._task, self._vocabulary = task, vocabulary
        self._done = 0

    def add(self, images: Tensor, output: Any, target: Any) -> None:
        """Draws one evaluated batch, as far as pictures are still wanted. A label outlives pictures that fail."""
        if self._done >= self._count:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for truth, said in self._task.draw_predictions(images, output, target, self._vocabulary):
                if self._done < self._count:
                    gap = truth.new_full((3, truth.shape[1], _GAP), 255)
                    both = torch.cat([truth, gap, said], 2).permute(1, 2, 0)
                    Image.fromarray(both.contiguous().numpy()).save(self._folder / f"{self._done}.png")
                    self._done += 1
        except OSError as error:
            log.warning("picture %d of %s: not written (%s): check space and rights", self._done, self._folder, error)
            self._done = self._count
