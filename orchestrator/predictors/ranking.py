"""Spearman's rank correlation of many samples at once, and of bootstrap samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def rank_correlation(first: Floats, second: Floats) -> Floats:
    """Return Spearman's correlation of (..., N) and (..., N) along the last axis.

    Ties share their mean rank; NaN if all values of a sample are equal.
    """
    a, b = _mean_ranks(first), _mean_ranks(second)
    return _correlation(a, b, np.ones(a.shape[-1], np.int64))


def pairwise_rank_correlations(samples: Floats) -> Floats:
    """Return Spearman's correlation of each pair of (S, N) samples, (S * (S - 1) / 2,)."""
    first, second = np.triu_indices(len(samples), 1)
    ranks = _mean_ranks(samples)
    return _correlation(ranks[first], ranks[second], np.ones(ranks.shape[-1], np.int64))


def known_rank_correlation(first: Floats, second: Floats) -> float | None:
    """Return Spearman's correlation of (N,) and (N,); None if all values of one of them are equal."""
    rho = float(rank_correlation(first, second))
    return rho if np.isfinite(rho) else None


def bootstrap_rank_correlation(first: Floats, second: Floats, counts: NDArray[np.int64]) -> Floats:
    """Return (D,) Spearman's correlations of (N,) and (N,) in D bootstrap samples; NaN if undefined.

    counts: (D, N), how often each entry is in each sample. Ranking the samples themselves would take a hundred times
    as long.
    """
    return _correlation(_ranks_within(first, counts), _ranks_within(second, counts), counts)


def _mean_ranks(samples: Floats) -> Floats:
    """Return mean ranks of (..., N) along the last axis. To import scipy's takes longer than most commands."""
    if not samples.size:
        return np.zeros(samples.shape)
    once = np.ones((1, samples.shape[-1]), np.int64)
    ranks = [_ranks_within(sample, once)[0] for sample in samples.reshape(-1, samples.shape[-1])]
    return np.array(ranks).reshape(samples.shape)


def _correlation(a: Floats, b: Floats, counts: NDArray[np.int64]) -> Floats:
    """Return Pearson's correlation along the last axis, in which each entry counts `counts` times."""
    size = np.maximum(counts.sum(-1, keepdims=True), 1)
    a, b = (values - (counts * values).sum(-1, keepdims=True) / size for values in (a, b))
    scale = np.sqrt((counts * a**2).sum(-1) * (counts * b**2).sum(-1))
    with np.errstate(invalid="ignore"):
        correlation: Floats = np.where(scale > 0, (counts * a * b).sum(-1) / scale, np.nan)
    return correlation


def _ranks_within(values: Floats, counts: NDArray[np.int64]) -> Floats:
    """Return (D, N) mean ranks of `values` in samples that contain each of them `counts` times."""
    order = np.argsort(values, kind="stable")
    _, starts, group = np.unique(values[order], return_index=True, return_inverse=True)
    equal = np.add.reduceat(counts[:, order], starts, axis=1)
    ranks = np.empty(counts.shape)
    ranks[:, order] = (equal.cumsum(1) - (equal - 1) / 2)[:, group]
    return ranks
