"""Spearman's rank correlation of many samples at once, and of bootstrap samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from orchestrator.predictors.ranking import (
    bootstrap_rank_correlation,
    known_rank_correlation,
    pairwise_rank_correlations,
    rank_correlation,
)


def test_many_samples_equal_scipys_one_by_one() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 6, (2, 5, 20)).astype(float)
    expected = [spearmanr(*pair).statistic for pair in zip(first, second, strict=True)]
    assert rank_correlation(first, second) == pytest.approx(expected)


@pytest.mark.parametrize("distinct", [4, 40])
def test_bootstrap_samples_equal_repeated_entries(distinct: int) -> None:
    rng = np.random.default_rng(distinct)
    first, second = rng.integers(0, distinct, (2, 30)).astype(float)
    counts = np.stack([np.bincount(rng.integers(0, 30, 30), minlength=30) for _ in range(25)])
    expected = [float(rank_correlation(np.repeat(first, row), np.repeat(second, row))) for row in counts]
    assert bootstrap_rank_correlation(first, second, counts) == pytest.approx(expected)


def test_pairs_of_samples_equal_scipys_with_ties() -> None:
    samples = np.random.default_rng(0).integers(0, 6, (4, 30)).astype(float)
    wanted = [spearmanr(samples[a], samples[b]).statistic for a in range(4) for b in range(a + 1, 4)]
    assert pairwise_rank_correlations(samples) == pytest.approx(wanted, abs=1e-12)


def test_no_values_have_no_correlation() -> None:
    assert known_rank_correlation(np.zeros(0), np.zeros(0)) is None


def test_equal_values_have_no_correlation() -> None:
    ranked, equal = np.arange(4.0), np.ones(4)
    assert np.isnan(rank_correlation(ranked, equal))
    counts = np.array([[1, 1, 1, 1], [0, 4, 0, 0], [0, 0, 0, 0], [2, 0, 0, 2]])
    assert np.isnan(bootstrap_rank_correlation(ranked, equal, counts)).all()
    assert bootstrap_rank_correlation(ranked, -ranked, counts) == pytest.approx([-1, np.nan, np.nan, -1], nan_ok=True)
