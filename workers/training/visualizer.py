"""Pictures of a network's predictions, saved during evaluation."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from workers.data.base import Vocabulary
from workers.loading.batches import Batch
from workers.tasks.base import Task

log = logging.getLogger(__name__)

_GAP = 4  # white pixels between the two halves


class PredictionVisualizer:
    """Saves the first `count` held-out examples as FOLDER/0.png and so on: annotation left, prediction right."""

    def __init__(self, folder: Path, count: int, task: Task, vocabulary: Vocabulary) -> None:
        self._folder, self._count = folder, count
        self._task, self._vocabulary = task, vocabulary
        self._saved = 0

    def add(self, batch: Batch, output: Any) -> None:
        """Draw the examples of a batch until `count` are saved. Write errors are logged and do not fail the label."""
        if self._saved >= self._count:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            images = [image[:, :h, :w] for image, (h, w) in zip(batch.images, batch.contents, strict=True)]
            for annotated, predicted in self._task.draw_predictions(images, output, batch.target, self._vocabulary):
                if self._saved < self._count:
                    gap = annotated.new_full((3, annotated.shape[1], _GAP), 255)
                    picture = torch.cat([annotated, gap, predicted], 2).permute(1, 2, 0)
                    Image.fromarray(picture.contiguous().numpy()).save(self._folder / f"{self._saved}.png")
                    self._saved += 1
        except OSError as error:
            log.warning("picture %d of %s: not written (%s): check space and rights", self._saved, self._folder, error)
            self._saved = self._count
