"""Bringing statistics and labels of different sets to one scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from predictor.label_set import Floats

_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Standardiser:
    """Columns to mean 0 and deviation 1. A column that never varied tells nothing, and becomes 0, as does NaN."""

    mean: Floats
    factor: Floats

    @classmethod
    def of(cls, table: Floats) -> Standardiser:
        """From (n, columns), n at least 1."""
        known = np.isfinite(table)
        count = np.maximum(1, known.sum(axis=0))
        mean = np.where(known, table, 0.0).sum(axis=0) / count
        deviation = np.sqrt((np.where(known, table - mean, 0.0) ** 2).sum(axis=0) / count)
        factor = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > _TINY)
        return cls(mean, factor)

    def __call__(self, table: Floats) -> Floats:
        """(n, columns) to the same; values far outside what was seen are held at 4 deviations."""
        return np.nan_to_num(np.clip((table - self.mean) * self.factor, -4.0, 4.0))


def standard_scores(values: Floats) -> Floats:
    """(n,) to mean 0 and deviation 1; zeros where all are equal."""
    return Standardiser.of(values[:, None])(values[:, None])[:, 0]
