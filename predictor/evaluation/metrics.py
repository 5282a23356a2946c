"""How good predictions of labels are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from predictor.label_set import Floats
from predictor.models.base import HALF_WIDTH_90, Prediction

_TOP = 5


@dataclass(frozen=True, slots=True)
class Scores:
    """Of one model on one set of networks.

    mae: mean absolute error, in hundredths of the metric's unit (points, where the unit is a share). spearman, kendall:
    rank correlations; 0 where the model, or the labels, tell no network from another. regret: what the best network of
    the five ranked first lies below the best of all, in hundredths. coverage: share of labels within the interval that
    should hold 90 % of them. mae and coverage are NaN for a model that only ranks.
    """

    mae: float
    spearman: float
    kendall: float
    regret: float
    coverage: float


def scores(prediction: Prediction, values: Floats) -> Scores:
    """Predictions against measured values, both (n,), n at least 2."""
    mean, deviation = prediction.mean, prediction.deviation
    ranks = not np.isfinite(deviation).all()
    first = np.argsort(-mean, kind="stable")[:_TOP]
    told_apart = bool(np.ptp(mean) > 0 and np.ptp(values) > 0)
    return Scores(
        mae=float("nan") if ranks else float(np.abs(mean - values).mean() * 100),
        spearman=float(spearmanr(mean, values)[0]) if told_apart else 0.0,
        kendall=float(kendalltau(mean, values)[0]) if told_apart else 0.0,
        regret=float((values.max() - values[first].max()) * 100),
        coverage=float("nan") if ranks else float((np.abs(mean - values) <= HALF_WIDTH_90 * deviation).mean()),
    )


def bootstrap_interval(values: NDArray[np.float64], seed: int = 0, draws: int = 1000) -> tuple[float, float]:
    """95 % interval of the mean of (n,) values, by resampling them; NaN where there is none."""
    if not len(values) or not np.isfinite(values).all():
        return float("nan"), float("nan")
    picks = np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)
