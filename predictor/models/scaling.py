"""Bringing statistics and labels of different sets to one scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import norm, yeojohnson, yeojohnson_llf

from predictor.label_set import Floats

_TINY = 1e-9
_POWERS = (-2.0, 4.0)
_POWER_SPREAD = 0.5  # of its prior
_FARTHEST = 10.0  # deviations from the mean, beyond which no label is predicted
QUANTILES = 51
_NORMAL = norm.ppf((np.arange(QUANTILES) + 0.5) / QUANTILES)


@dataclass(frozen=True, slots=True)
class Standardiser:
    """Columns to mean 0 and deviation 1. A column that never varied tells nothing, and becomes 0, as does NaN."""

    mean: Floats
    factor: Floats

    @classmethod
    def of(cls, table: Floats) -> Standardiser:
        """From (n, columns), n at least 1."""
        known = np.isfinite(table)
        count = np.maximum(1, known.sum(axis=0))
        mean = np.where(known, table, 0.0).sum(axis=0) / count
        deviation = np.sqrt((np.where(known, table - mean, 0.0) ** 2).sum(axis=0) / count)
        factor = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > _TINY)
        return cls(mean, factor)

    def __call__(self, table: Floats) -> Floats:
        """(n, columns) to the same; values far outside what was seen are held at 4 deviations."""
        return np.nan_to_num(np.clip((table - self.mean) * self.factor, -4.0, 4.0))


def standard_scores(values: Floats) -> Floats:
    """(n,) to mean 0 and deviation 1; zeros where all are equal."""
    return Standardiser.of(values[:, None])(values[:, None])[:, 0]


@dataclass(frozen=True, slots=True)
class PowerTransform:
    """Labels to about a standard normal distribution, by the power of Yeo and Johnson, and back.

    A few networks that hardly learn lie far below all others: to a Gaussian process nothing else would be left to tell.
    """

    power: float
    before: tuple[float, float]  # mean and deviation of the labels
    after: tuple[float, float]  # and of what the power makes of them, standardised

    @classmethod
    def of(cls, values: Floats) -> PowerTransform:
        """From (n,) labels, n at least 1; the power by likelihood, shrunk towards 1, where it changes nothing."""
        before = float(values.mean()), float(values.std()) or 1.0
        scores = (values - before[0]) / before[1]
        if not np.ptp(scores):
            return cls(1.0, before, (0.0, 1.0))
        found = minimize_scalar(
            lambda power: (power - 1) ** 2 / (2 * _POWER_SPREAD**2) - yeojohnson_llf(power, scores),
            bounds=_POWERS,
            method="bounded",
        )
        power = float(found.x)
        bent = yeojohnson(scores, power)
        return cls(power, before, (float(bent.mean()), float(bent.std()) or 1.0))

    def __call__(self, values: Floats) -> Floats:
        """Labels to standard scores, in any shape."""
        bent: Floats = yeojohnson((values - self.before[0]) / self.before[1], self.power)
        return (bent - self.after[0]) / self.after[1]

    def inverse(self, scores: Floats) -> Floats:
        """Standard scores to labels, in any shape."""
        low, high = yeojohnson(np.array([-_FARTHEST, _FARTHEST]), self.power)
        bent = np.clip(scores * self.after[1] + self.after[0], low, high)
        return _unbent(bent, self.power) * self.before[1] + self.before[0]

    def spread(self, mean: Floats, deviation: Floats) -> Floats:
        """(n, QUANTILES) labels whose scores have these normal distributions, of equal probability, ascending."""
        return self.inverse(mean[:, None] + deviation[:, None] * _NORMAL)


def _unbent(bent: Floats, power: float) -> Floats:
    """Inverse of `scipy.stats.yeojohnson`, of what it can give."""
    up, down = np.maximum(bent, 0.0), np.maximum(-bent, 0.0)
    above = np.expm1(up) if abs(power) < _TINY else (up * power + 1) ** (1 / power) - 1
    rest = 2 - power
    strip_prefix = np.expm1(down) if abs(rest) < _TINY else (down * rest + 1) ** (1 / rest) - 1
    return np.where(bent > 0, above, -strip_prefix)
