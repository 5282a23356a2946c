"""Labels that are hard to believe are told and held; where all are, none is."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.predictors.refresh.outliers import judge
from predictor.models import Prediction

DRAW = np.random.default_rng(0)
MEAN = DRAW.uniform(0.3, 0.7, 50)
EXPECTED = Prediction(MEAN, np.full(50, 0.02))
VALUES = MEAN + 0.02 * DRAW.normal(size=50)
NEW = np.ones(50, np.bool_)


def test_noise_is_held_at_three_deviations_of_what_was_expected() -> None:
    values = VALUES.copy()
    values[::10] = [0.0, 1.0, 0.0, 1.0, 2.0]
    judged = judge(EXPECTED, values, NEW)
    assert np.flatnonzero(judged.suspect).tolist() == [0, 10, 20, 30, 40]
    assert np.array_equal(judged.values[~judged.suspect], values[~judged.suspect])
    moved = np.abs(judged.values - MEAN)[judged.suspect]
    assert (moved >= 0.06).all()
    assert (moved < 0.1).all()
    assert np.array_equal(np.sign(judged.values - MEAN)[judged.suspect], np.sign(values - MEAN)[judged.suspect])


def test_true_labels_are_left_alone() -> None:
    for values in (VALUES, VALUES + 0.3):  # the second as of a space that is better than anybody thought
        judged = judge(EXPECTED, values, NEW)
        assert not judged.suspect.any()
        assert np.array_equal(judged.values, values)


@pytest.mark.parametrize(("new", "found"), [(50, [0]), (7, []), (0, [])])
def test_a_few_cannot_be_judged(new: int, found: list[int]) -> None:
    values = VALUES.copy()
    values[0] = 3.0
    expected = Prediction(MEAN[:new], EXPECTED.deviation[:new])
    assert np.flatnonzero(judge(expected, values[:new], NEW[:new]).suspect).tolist() == found


def test_what_was_suspect_is_judged_by_the_others() -> None:
    """Else many that wait would vouch for each other."""
    values, new = VALUES.copy(), np.arange(50) < 12
    values[12:] = 3.0
    assert np.array_equal(judge(EXPECTED, values, new).suspect, ~new)
    values[12:30] = VALUES[12:30]  # these are believed now
    assert np.flatnonzero(judge(EXPECTED, values, new).suspect).tolist() == list(range(30, 50))
    assert np.array_equal(judge(EXPECTED, values, np.arange(50) < 3).suspect, np.arange(50) >= 30)


def test_a_champion_that_only_ranks_judges_nothing() -> None:
    only_ranks = Prediction.ranking(MEAN)
    assert not judge(only_ranks, VALUES * 100, NEW).suspect.any()
