"""Spearman's rank correlation, of many samples at once, and of samples drawn anew."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def rank_correlation(one: Floats, other: Floats) -> Floats:
    """Of (..., N) and (..., N), along the last axis: ties share their mean rank; NaN where either is all equal."""
    from scipy.stats import rankdata  # takes as long to load as all the rest of the command line, which rarely ranks

    a, b = rankdata(one, axis=-1), rankdata(other, axis=-1)
    return _correlation(a, b, np.ones(a.shape[-1], np.int64))


def resampled_correlation(one: Floats, other: Floats, counts: NDArray[np.int64]) -> Floats:
    """The same of (N,) and (N,) in D samples drawn from them; NaN where it is undefined.

    counts: (D, N), how often a sample has each. Ranking the samples themselves would take a hundred times as long.
    """
    return _correlation(_ranks_within(one, counts), _ranks_within(other, counts), counts)


def _correlation(a: Floats, b: Floats, counts: NDArray[np.int64]) -> Floats:
    """Pearson's, along the last axis, of entries that are there `counts` times."""
    size = np.maximum(counts.sum(-1, keepdims=True), 1)
    a, b = (values - (counts * values).sum(-1, keepdims=True) / size for values in (a, b))
    spread = np.sqrt((counts * a**2).sum(-1) * (counts * b**2).sum(-1))
    with np.errstate(invalid="ignore"):
        correlation: Floats = np.where(spread > 0, (counts * a * b).sum(-1) / spread, np.nan)
    return correlation


def _ranks_within(values: Floats, counts: NDArray[np.int64]) -> Floats:
    """(D, N) mean ranks of `values` in samples that have each of them `counts` times."""
    order = np.argsort(values, kind="stable")
    _, starts, group = np.unique(values[order], return_index=True, return_inverse=True)
    equal = np.add.reduceat(counts[:, order], starts, axis=1)
    ranks = np.empty(counts.shape)
    ranks[:, order] = (equal.cumsum(1) - (equal - 1) / 2)[:, group]
    return ranks
