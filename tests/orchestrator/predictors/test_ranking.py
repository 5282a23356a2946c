"""Spearman's rank correlation, of many samples at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from orchestrator.predictors.ranking import rank_correlation, resampled_correlation


def test_many_samples_are_told_as_scipy_tells_one() -> None:
    draw = np.random.default_rng(0)
    one, other = draw.integers(0, 6, (2, 5, 20)).astype(float)
    told = [spearmanr(*pair).statistic for pair in zip(one, other, strict=True)]
    assert rank_correlation(one, other) == pytest.approx(told)


@pytest.mark.parametrize("different", [4, 40])
def test_samples_drawn_anew_are_told_as_if_they_were_written_out(different: int) -> None:
    draw = np.random.default_rng(different)
    one, other = draw.integers(0, different, (2, 30)).astype(float)
    counts = np.stack([np.bincount(draw.integers(0, 30, 30), minlength=30) for _ in range(25)])
    written = [float(rank_correlation(np.repeat(one, some), np.repeat(other, some))) for some in counts]
    assert resampled_correlation(one, other, counts) == pytest.approx(written)


def test_equal_values_tell_nothing() -> None:
    ranked, equal = np.arange(4.0), np.ones(4)
    assert np.isnan(rank_correlation(ranked, equal))
    counts = np.array([[1, 1, 1, 1], [0, 4, 0, 0], [0, 0, 0, 0], [2, 0, 0, 2]])
    assert np.isnan(resampled_correlation(ranked, equal, counts)).all()
    assert resampled_correlation(ranked, -ranked, counts) == pytest.approx([-1, np.nan, np.nan, -1], nan_ok=True)
