"""Counts of true and predicted classes, from which metrics of classification and semantic segmentation follow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class ConfusionMatrix:
    """Pixels or images by true and by predicted class."""

    def __init__(self, classes: int, ignored: int | None = None) -> None:
        """ignored: a true class id, of those that do not count."""
        self._classes, self._ignored = classes, ignored
        self._counts = np.zeros((classes, classes + 1), np.int64)  # the last column: no prediction

    def update(self, truth: NDArray[Any], predicted: NDArray[Any]) -> None:
        """Add class ids, both of the same shape. The predicted id `classes` means none, which counts as wrong."""
        if self._ignored is not None:
            known = truth != self._ignored
            truth, predicted = truth[known], predicted[known]
        pairs = truth.astype(np.int64).ravel() * (self._classes + 1) + predicted.ravel()
        self._counts += np.bincount(pairs, minlength=self._counts.size).reshape(self._counts.shape)

    @property
    def hits(self) -> Floats:
        """(classes,) of each class, how many were predicted right."""
        hits: Floats = np.diag(self._counts).astype(np.float64)
        return hits

    @property
    def truth(self) -> Floats:
        """(classes,) how many are of each class."""
        truth: Floats = self._counts.sum(1).astype(np.float64)
        return truth

    @property
    def predicted(self) -> Floats:
        """(classes,) how many were predicted to be of each class."""
        predicted: Floats = self._counts[:, : self._classes].sum(0).astype(np.float64)
        return predicted

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
