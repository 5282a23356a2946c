"""Metrics of predicted labels, and bootstrap intervals of their means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from predictor.label_set import Floats
from predictor.models.base import HALF_WIDTH_90, Prediction

_REGRET_TOP = 5  # the regret is measured on this many architectures, those that the model ranks first


@dataclass(frozen=True, slots=True)
class Scores:
    """Metrics of one model on one set of architectures.

    mae: mean absolute error, in hundredths of the metric's unit (points, if the unit is a share); of costs, such as
    latency, in the unit itself. spearman, kendall: rank correlations of predictions and labels; 0 if all
    predictions or all labels are equal. regret: difference between the best label and the best among the five
    architectures ranked first, in the unit of mae; the best of costs is the lowest. coverage: share of labels inside
    the predicted 90 % intervals. mae and coverage are NaN for a model that only ranks.
    """

    mae: float
    spearman: float
    kendall: float
    regret: float
    coverage: float


def score_prediction(prediction: Prediction, values: Floats, are_costs: bool = False) -> Scores:
    """Compare predictions with measured values, both (n,), n at least 2. are_costs: see `LabelSet.lower_is_better`."""
    mean, deviation = prediction.mean, prediction.deviation
    only_ranks = not np.isfinite(deviation).all()
    scale, sign = (1, -1) if are_costs else (100, 1)
    top = np.argsort(-sign * mean, kind="stable")[:_REGRET_TOP]
    regret = (sign * values).max() - (sign * values[top]).max()
    has_ranks = bool(np.ptp(mean) > 0 and np.ptp(values) > 0)
    return Scores(
        mae=float("nan") if only_ranks else float(np.abs(mean - values).mean() * scale),
        spearman=float(spearmanr(mean, values)[0]) if has_ranks else 0.0,
        kendall=float(kendalltau(mean, values)[0]) if has_ranks else 0.0,
        regret=float(regret * scale),
        coverage=float("nan") if only_ranks else float((np.abs(mean - values) <= HALF_WIDTH_90 * deviation).mean()),
    )


def bootstrap_interval(values: NDArray[np.float64], seed: int = 0, draws: int = 1000) -> tuple[float, float]:
    """Return the bootstrapped 95 % interval of the mean of (n,) values; NaN if n is 0 or a value is not finite."""
    if not len(values) or not np.isfinite(values).all():
        return float("nan"), float("nan")
    picks = np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)
