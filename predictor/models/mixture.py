"""A mixture of regressions that were fitted to the same labels.

Its weights make held-out labels most probable (stacking: Yao et al. 2018), under a Dirichlet prior at given weights,
because few labels are little evidence. The same held-out errors calibrate the intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from predictor.label_set import Floats
from predictor.models.scaling import variance_factor

_STEPS = 200  # of expectation maximisation, which converges in a few dozen
_HYPERPARAMETER_LABELS = 6.0  # how many labels' worth of uncertainty the fitted hyper-parameters add
_PRIOR_LABELS = 10.0  # how many labels' worth of prior there is that errors are as large as predicted
_TINY = 1e-12


class Expert(Protocol):
    """A regression that was fitted to labels."""

    def __call__(self, table: Floats) -> tuple[Floats, Floats]:
        """Return (n,) means and standard deviations for (n, columns)."""

    def held_out_predictions(self) -> tuple[Floats, Floats]:
        """Return (n,) means and standard deviations of the labels it was fitted to, each predicted without it."""


class Mixture:
    """Predicts means and standard deviations, which are calibrated by held-out errors."""

    def __init__(
        self, experts: Sequence[Expert], prior_weights: Floats, values: Floats, stacking_labels: float
    ) -> None:
        """prior_weights: (experts,). values: (n,) that all experts were fitted to.

        stacking_labels: how many labels' worth of evidence the prior weights are.
        """
        held_out = [expert.held_out_predictions() for expert in experts]
        self.weights = stacking_weights(held_out, values, prior_weights, stacking_labels)
        self._experts = list(experts)
        mean, variance = _combine(self.weights, held_out)
        self._variance_factor = _variance_factor((values - mean) ** 2 / variance)

    def __call__(self, table: Floats) -> tuple[Floats, Floats]:
        """Return (n,) means and standard deviations for (n, columns)."""
        mean, variance = _combine(self.weights, [expert(table) for expert in self._experts])
        return mean, np.sqrt(variance * self._variance_factor)


def stacking_weights(
    held_out: Sequence[tuple[Floats, Floats]], values: Floats, prior_weights: Floats, prior_labels: float
) -> Floats:
    """Return (experts,) weights with sum 1 that make held-out labels most probable, under a prior at `prior_weights`.

    held_out: (n,) means and standard deviations of each expert. values: (n,). prior_labels: strength of the prior.
    """
    density = np.column_stack([norm.pdf(values, mean, deviation) for mean, deviation in held_out]) + _TINY
    prior = prior_weights / prior_weights.sum()
    weights: Floats = prior.copy()
    for _ in range(_STEPS):
        share = weights * density
        share /= share.sum(axis=1, keepdims=True)
        weights = (share.sum(axis=0) + prior_labels * prior) / (len(values) + prior_labels)
    return weights


def _combine(weights: Floats, predictions: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Return (n,) means and variances of the mixture. predictions: means and standard deviations of each expert."""
    mean: Floats = np.sum([w * m for w, (m, _) in zip(weights, predictions, strict=True)], axis=0)
    # The variance within the experts, and between them.
    parts = [w * (d**2 + (m - mean) ** 2) for w, (m, d) in zip(weights, predictions, strict=True)]
    variance: Floats = np.sum(parts, axis=0)
    return mean, variance


def _variance_factor(squared_errors: Floats) -> float:
    """Return the factor that calibrates the variances. squared_errors: (n,) of held-out labels, divided by variance."""
    labels = len(squared_errors)
    # The hyper-parameters were fitted to the omitted label, too, so held-out errors are too small.
    correction = 1 + _HYPERPARAMETER_LABELS / labels
    # Few labels hardly determine their own deviation: normal intervals become those of Student's distribution.
    unknown_deviation = (student.ppf(0.95, labels - 1) / norm.ppf(0.95)) ** 2
    return float(variance_factor(correction * squared_errors, _PRIOR_LABELS) * unknown_deviation)
