"""Labels far from the prediction are clipped; if most are far off, none is."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.predictors.refresh.outliers import clip_outliers
from predictor.models import Prediction

RNG = np.random.default_rng(0)
MEAN = RNG.uniform(0.3, 0.7, 50)
PREDICTED = Prediction(MEAN, np.full(50, 0.02))
VALUES = MEAN + 0.02 * RNG.normal(size=50)
NEW = np.ones(50, np.bool_)


def test_outliers_are_clipped_to_three_standard_deviations() -> None:
    values = VALUES.copy()
    values[::10] = [0.0, 1.0, 0.0, 1.0, 2.0]
    result = clip_outliers(PREDICTED, values, NEW)
    assert np.flatnonzero(result.outliers).tolist() == [0, 10, 20, 30, 40]
    assert np.array_equal(result.values[~result.outliers], values[~result.outliers])
    distances = np.abs(result.values - MEAN)[result.outliers]
    assert (distances >= 0.06).all()
    assert (distances < 0.1).all()
    assert np.array_equal(np.sign(result.values - MEAN)[result.outliers], np.sign(values - MEAN)[result.outliers])


def test_correct_labels_are_unchanged() -> None:
    for values in (VALUES, VALUES + 0.3):  # the second: a space that is better than predicted
        result = clip_outliers(PREDICTED, values, NEW)
        assert not result.outliers.any()
        assert np.array_equal(result.values, values)


@pytest.mark.parametrize(("new", "outliers"), [(50, [0]), (7, []), (0, [])])
def test_a_few_labels_are_not_checked(new: int, outliers: list[int]) -> None:
    values = VALUES.copy()
    values[0] = 3.0
    predicted = Prediction(MEAN[:new], PREDICTED.deviation[:new])
    assert np.flatnonzero(clip_outliers(predicted, values[:new], NEW[:new]).outliers).tolist() == outliers


def test_earlier_outliers_do_not_count_in_the_unit() -> None:
    """Otherwise many earlier outliers would make each other look normal."""
    values, new = VALUES.copy(), np.arange(50) < 12
    values[12:] = 3.0
    assert np.array_equal(clip_outliers(PREDICTED, values, new).outliers, ~new)
    values[12:30] = VALUES[12:30]  # these are no outliers any more
    assert np.flatnonzero(clip_outliers(PREDICTED, values, new).outliers).tolist() == list(range(30, 50))
    assert np.array_equal(clip_outliers(PREDICTED, values, np.arange(50) < 3).outliers, np.arange(50) >= 30)


def test_a_champion_that_only_ranks_finds_no_outliers() -> None:
    only_ranks = Prediction.ranking(MEAN)
    assert not clip_outliers(only_ranks, VALUES * 100, NEW).outliers.any()
