"""A Gaussian process that is a sum of functions of groups of columns, with its scales integrated out.

Instead of the most probable variances and length scales, which few labels hardly determine, many draws from their prior
are kept, each weighted by its marginal likelihood. The draws are a Sobol sequence, so the result is deterministic.
Every label is also predicted from the others in closed form (Rasmussen and Williams 2006, section 5.4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import norm, qmc

from predictor.label_set import Floats

Kernel = Literal["linear", "rbf", "matern32"]
_DRAWS = 256
_MAX_TUNING_LABELS = 100  # that weight the draws; a prediction uses all labels
_MIN_WEIGHT = 1e-3  # draws of less posterior weight are dropped
_MAX_KEPT = 24
_SCALE_SPREAD = 1.0  # prior standard deviations of logarithms: of the terms' variances,
_LENGTH_SPREAD = 0.7  # of length scales,
_NOISE, _NOISE_SPREAD = 0.1, 1.2  # and of the noise, whose prior median is given in label variances
_MIN_NOISE, _MAX_NOISE = 0.005, 2.0
_JITTER = 1e-8
_BATCH = 256  # networks predicted at once, which bounds memory


@dataclass(frozen=True, slots=True)
class Term:
    """A function of the columns from `start` to before `stop`. variance: prior median, in label variances."""

    kernel: Kernel
    start: int
    stop: int
    variance: float


class AdditiveProcess:
    """Fitted to (n, columns), standardised, and (n,) values of any unit."""

    def __init__(self, terms: Sequence[Term], table: Floats, values: Floats, seed: int) -> None:
        self._terms, self._table = list(terms), table
        self._mean, self._unit = float(values.mean()), float(values.std()) or 1.0
        targets = (values - self._mean) / self._unit
        draws = _prior_draws(self._terms, seed)
        rows = slice(0, _MAX_TUNING_LABELS)
        weights = self._posterior(draws, table[rows], targets[rows])
        kept = np.argsort(-weights, kind="stable")[:_MAX_KEPT]
        kept = kept[weights[kept] >= _MIN_WEIGHT * weights.max()]
        self._draws = draws.take(kept)
        self._weights = weights[kept] / weights[kept].sum()
        covariance = self._covariance(self._draws, table, table) + self._draws.noise[:, None, None] * np.eye(len(table))
        self._precision = np.linalg.inv(covariance)
        self._coefficients: Floats = self._precision @ targets
        self._variance_left_out = 1 / np.diagonal(self._precision, axis1=1, axis2=2)
        self._mean_left_out = targets - self._coefficients * self._variance_left_out

    def __call__(self, table: Floats) -> tuple[Floats, Floats]:
        """Return (n,) posterior means and standard deviations of measured labels, noise included."""
        parts = [self._predict(table[start : start + _BATCH]) for start in range(0, len(table), _BATCH)]
        mean, variance = (np.concatenate([np.zeros(0), *column]) for column in zip(*parts, strict=True))
        return mean * self._unit + self._mean, np.sqrt(variance) * self._unit

    def held_out_predictions(self) -> tuple[Floats, Floats]:
        """Return (n,) means and standard deviations of each label given all others.

        The weights of the draws have seen all labels.
        """
        mean, variance = self._mixture(self._mean_left_out, self._variance_left_out)
        return mean * self._unit + self._mean, np.sqrt(variance) * self._unit

    def _predict(self, table: Floats) -> tuple[Floats, Floats]:
        cross = self._covariance(self._draws, table, self._table)
        mean = np.einsum("dqn,dn->dq", cross, self._coefficients)
        explained = np.einsum("dqn,dqn->dq", cross @ self._precision, cross)
        variance = self._prior_variance(table) + self._draws.noise[:, None] - explained
        return self._mixture(mean, np.maximum(variance, _JITTER))

    def _mixture(self, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """Return (n,) mean and variance over the draws. mean, variance: (draws, n)."""
        centre: Floats = self._weights @ mean
        total: Floats = self._weights @ (variance + (mean - centre) ** 2)
        return centre, total

    def _posterior(self, draws: _Draws, table: Floats, targets: Floats) -> Floats:
        """Return (draws,) posterior weights, with sum 1."""
        covariance = self._covariance(draws, table, table)
        covariance += (draws.noise[:, None, None] + _JITTER) * np.eye(len(table))
        factor = np.linalg.cholesky(covariance)
        whitened = np.linalg.solve(factor, np.broadcast_to(targets[:, None], (len(factor), len(targets), 1)))[..., 0]
        log_determinant = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1)
        likelihood = -0.5 * (whitened**2).sum(1) - log_determinant
        weights: Floats = np.exp(likelihood - likelihood.max())
        weights /= weights.sum()
        return weights

    def _covariance(self, draws: _Draws, first: Floats, second: Floats) -> Floats:
        """Return (draws, n, m)."""
        total = np.zeros((len(draws.noise), len(first), len(second)))
        for number, term in enumerate(self._terms):
            a, b = first[:, term.start : term.stop], second[:, term.start : term.stop]
            width = term.stop - term.start
            scale = draws.variances[:, number, None, None]
            if term.kernel == "linear":
                total += scale * (a @ b.T / width)
                continue
            distance = _squared_distances(a, b) / width
            length = draws.lengths[:, number, None, None]
            if term.kernel == "rbf":
                total += scale * np.exp(-0.5 * distance / length**2)
            else:
                root = np.sqrt(3 * distance) / length
                total += scale * (1 + root) * np.exp(-root)
        return total

    def _prior_variance(self, table: Floats) -> Floats:
        """Return (draws, n)."""
        total = np.zeros((len(self._draws.noise), len(table)))
        for number, term in enumerate(self._terms):
            columns = table[:, term.start : term.stop]
            size = (columns**2).mean(axis=1) if term.kernel == "linear" else np.ones(len(table))
            total += self._draws.variances[:, number, None] * size
        return total


@dataclass(frozen=True, slots=True)
class _Draws:
    """variances, lengths: (draws, terms). noise: (draws,) variances."""

    variances: Floats
    lengths: Floats
    noise: Floats

    def take(self, rows: Floats) -> _Draws:
        return _Draws(self.variances[rows], self.lengths[rows], self.noise[rows])


def _prior_draws(terms: Sequence[Term], seed: int) -> _Draws:
    count = len(terms)
    uniform = qmc.Sobol(2 * count + 1, seed=seed).random(_DRAWS)
    normal = norm.ppf(np.clip(uniform, 1e-4, 1 - 1e-4))
    medians = np.array([term.variance for term in terms])
    noise = _NOISE * np.exp(_NOISE_SPREAD * normal[:, -1])
    return _Draws(
        variances=medians * np.exp(_SCALE_SPREAD * normal[:, :count]),
        lengths=np.exp(_LENGTH_SPREAD * normal[:, count:-1]),
        noise=np.clip(noise, _MIN_NOISE, _MAX_NOISE),
    )


def _squared_distances(first: Floats, second: Floats) -> Floats:
    """Return (n, m)."""
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1)[None]
    distances: Floats = np.maximum(squares - 2 * first @ second.T, 0.0)
    return distances
