"""Counts of true and predicted classes, from which metrics of classification and semantic segmentation follow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class ClassCounts:
    """Pixels or images by class.

    truth: (classes,) how many are of each class. predicted: how many were predicted to be. hits: how many are both.
    """

    def __init__(self, classes: int, ignored: int | None = None) -> None:
        """ignored: a true class id, of those that do not count."""
        self._classes, self._ignored = classes, ignored
        self.hits, self.truth, self.predicted = np.zeros((3, classes))

    def update(self, truth: NDArray[Any], predicted: NDArray[Any]) -> None:
        """Add class ids, both of the same shape. The predicted id `classes` means none, which counts as wrong."""
        truth, predicted = truth.ravel(), predicted.ravel()
        if self._ignored is not None:
            known = truth != self._ignored
            truth, predicted = truth[known], predicted[known]
        self.hits += self._count(truth[truth == predicted])
        self.truth += self._count(truth)
        self.predicted += self._count(predicted[predicted < self._classes])

    def _count(self, ids: NDArray[Any]) -> Floats:
        return np.bincount(ids, minlength=self._classes).astype(np.float64)

    def accuracy(self) -> float:
        """Return the share of those predicted right."""
        return float(self.hits.sum() / self.truth.sum())

    def balanced_accuracy(self) -> float:
        """Return the mean over classes of the share predicted right; 0 for a class that was only predicted."""
        occurs = self.truth + self.predicted > 0
        return float((self.hits[occurs] / np.maximum(self.truth[occurs], 1)).mean())

    def iou(self) -> dict[str, float]:
        """Return the mean over annotated classes as "miou", and "frequency_weighted_iou"."""
        present = self.truth > 0
        iou = self.hits[present] / (self.truth + self.predicted - self.hits)[present]
        share = self.truth[present] / self.truth.sum()
        return {"miou": float(iou.mean()), "frequency_weighted_iou": float((iou * share).sum())}
