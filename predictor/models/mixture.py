"""A mixture of Gaussian processes fitted to the same labels, weighted by their marginal likelihoods."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictor.label_set import Floats
from predictor.models.gaussian_process import Process
from predictor.models.scaling import variance_factor

_TEMPERATURE = 5.0  # of the likelihoods; 1 would be Bayes' rule, which is right only if one of the processes is true
_HYPERPARAMETER_LABELS = 6.0  # how many labels' worth of uncertainty the fitted hyper-parameters add
_PRIOR_LABELS = 10.0  # how many labels' worth of prior there is that errors are as large as predicted


class Mixture:
    """Predicts means and standard deviations, which are calibrated by leave-one-out errors."""

    def __init__(self, processes: Sequence[Process], prior_weights: Floats, values: Floats) -> None:
        """prior_weights: (processes,), before the labels are used. values: (n,) that all processes were fitted to."""
        log_marginal_likelihood = np.array([process.log_marginal_likelihood() for process in processes])
        weights = prior_weights * np.exp((log_marginal_likelihood - log_marginal_likelihood.max()) / _TEMPERATURE)
        self._experts = list(zip(weights / weights.sum(), processes, strict=True))
        mean, variance = _combine([(weight, *process.loo_predictions()) for weight, process in self._experts])
        self._variance_factor = _variance_factor((values - mean) ** 2 / variance)

    def __call__(self, table: Floats) -> tuple[Floats, Floats]:
        """Return (n,) means and standard deviations for (n, columns)."""
        mean, variance = _combine([(weight, *process(table)) for weight, process in self._experts])
        return mean, np.sqrt(variance * self._variance_factor)


def _combine(experts: Sequence[tuple[float, Floats, Floats]]) -> tuple[Floats, Floats]:
    """Return (n,) means and variances of the mixture. experts: weight, means and standard deviations of each."""
    mean: Floats = np.sum([weight * m for weight, m, _ in experts], axis=0)
    # The variance within the experts, and between them.
    variance: Floats = np.sum([weight * (d**2 + (m - mean) ** 2) for weight, m, d in experts], axis=0)
    return mean, variance


def _variance_factor(squared_errors: Floats) -> float:
    """Return the factor that calibrates the variances. squared_errors: (n,) of leave-one-out, divided by variance."""
    # The hyper-parameters were fitted to the omitted label, too, so leave-one-out errors are too small.
    correction = 1 + _HYPERPARAMETER_LABELS / len(squared_errors)
    return correction * variance_factor(correction * squared_errors, _PRIOR_LABELS)
