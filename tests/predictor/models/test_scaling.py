"""Labels are transformed to a normal distribution, and back."""

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
def test_the_inverse_restores_labels(values: np.ndarray) -> None:
    transform = PowerTransform.of(values)
    scores = transform(values)
    assert np.allclose(transform.inverse(scores), values)
    assert abs(scores.mean()) < 1e-9
    assert (np.diff(scores[np.argsort(values)]) >= 0).all()
    assert np.isfinite(transform.inverse(np.linspace(-100, 100, 9))).all()


def test_skewed_labels_become_nearly_normal() -> None:
    values = 0.95 - 0.1 * np.random.default_rng(1).lognormal(0, 0.7, 400)
    assert skew(values) < -1.5
    transform = PowerTransform.of(values)
    assert transform.power > 1.5
    assert abs(skew(transform(values))) < 0.5
    assert abs(PowerTransform.of(np.random.default_rng(1).normal(size=400)).power - 1) < 0.2


def test_quantiles_are_summarised_as_a_prediction() -> None:
    transform = PowerTransform(1.0, (0.5, 0.1), (0.0, 1.0))
    quantiles = transform.quantiles(np.array([0.0, 1.0]), np.array([1.0, 0.5]))
    assert quantiles.shape == (2, QUANTILES)
    prediction = Prediction.from_quantiles(quantiles)
    assert prediction.mean == pytest.approx([0.5, 0.6])
    assert prediction.deviation == pytest.approx([0.1, 0.05], rel=0.05)
