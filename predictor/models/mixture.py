"""Processes that try to explain the same labels, each heard by how well it does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictor.label_set import Floats
from predictor.models.gaussian_process import Process

_TEMPERATURE = 5.0  # 1 would be Bayes' rule, were one of the processes the truth
_SETTINGS = 6.0  # labels' worth of doubt that a process's own settings, found by few labels, leave
_EXPECTED = 10.0  # labels' worth of belief that they are missed by as much as was expected


class Mixture:
    """Means and variances of all processes together, as wide as their own labels ask for."""

    def __init__(self, processes: Sequence[Process], votes: Floats, values: Floats) -> None:
        """votes: (processes,) before labels tell. values: (n,) that all of them learnt from."""
        log_marginal_likelihood = np.array([process.log_marginal_likelihood() for process in processes])
        weights = votes * np.exp((log_marginal_likelihood - log_marginal_likelihood.max()) / _TEMPERATURE)
        self._experts = list(zip(weights / weights.sum(), processes, strict=True))
        mean, variance = _mixed([(weight, *process.loo_predictions()) for weight, process in self._experts])
        self._wider = _wider((values - mean) ** 2 / variance)

    def __call__(self, table: Floats) -> tuple[Floats, Floats]:
        """(n,) means and deviations of (n, columns)."""
        mean, variance = _mixed([(weight, *process(table)) for weight, process in self._experts])
        return mean, np.sqrt(variance * self._wider)


def _mixed(told: Sequence[tuple[float, Floats, Floats]]) -> tuple[Floats, Floats]:
    """(n,) means and variances, from weights, means and deviations."""
    mean: Floats = np.sum([weight * m for weight, m, _ in told], axis=0)
    # What each is unsure of, and how far they are apart.
    variance: Floats = np.sum([weight * (d**2 + (m - mean) ** 2) for weight, m, d in told], axis=0)
    return mean, variance


def _wider(missed: Floats) -> float:
    """By how much variances fall short. missed: (n,) squares, in variances, of what labels left out were missed by."""
    doubt = 1 + _SETTINGS / len(missed)  # settings were found with the label that is left out, too
    told = doubt * float(missed.sum()) + _EXPECTED
    return doubt * told / (len(missed) + _EXPECTED)
