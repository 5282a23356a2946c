"""Labels bent to a normal distribution, and back."""

import numpy as np
import pytest
from scipy.stats import skew

from predictor.models import Prediction
from predictor.models.scaling import QUANTILES, PowerTransform

DRAW = np.random.default_rng(0)


@pytest.mark.parametrize(
    "values",
    [
        DRAW.normal(0.7, 0.05, 100),
        0.95 - 0.1 * DRAW.lognormal(0, 1, 100),  # a few far below
        0.1 * DRAW.lognormal(0, 1, 100),
        DRAW.normal(-5, 2, 5),
        np.full(4, 0.3),
        np.array([0.3]),
    ],
)
def test_there_and_back(values: np.ndarray) -> None:
    warp = PowerTransform.of(values)
    scores = warp(values)
    assert np.allclose(warp.inverse(scores), values)
    assert abs(scores.mean()) < 1e-9
    assert (np.diff(scores[np.argsort(values)]) >= 0).all()
    assert np.isfinite(warp.inverse(np.linspace(-100, 100, 9))).all()


def test_skewed_labels_become_nearly_normal() -> None:
    values = 0.95 - 0.1 * np.random.default_rng(1).lognormal(0, 0.7, 400)
    assert skew(values) < -1.5
    warp = PowerTransform.of(values)
    assert warp.power > 1.5
    assert abs(skew(warp(values))) < 0.5
    assert abs(PowerTransform.of(np.random.default_rng(1).normal(size=400)).power - 1) < 0.2


def test_a_spread_of_equal_probability_makes_a_prediction() -> None:
    warp = PowerTransform(1.0, (0.5, 0.1), (0.0, 1.0))
    spread = warp.spread(np.array([0.0, 1.0]), np.array([1.0, 0.5]))
    assert spread.shape == (2, QUANTILES)
    found = Prediction.of(spread)
    assert found.mean == pytest.approx([0.5, 0.6])
    assert found.deviation == pytest.approx([0.1, 0.05], rel=0.05)
