"""Bring statistics and labels of different sets to one scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import norm, yeojohnson, yeojohnson_llf

from predictor.label_set import Floats

_TINY = 1e-9
_POWER_BOUNDS = (-2.0, 4.0)
_POWER_DEVIATION = 0.5  # standard deviation of the prior of the power, around 1
_MAX_DEVIATIONS = 10.0  # predicted labels are at most this many standard deviations from the mean
QUANTILES = 51
_NORMAL_QUANTILES = norm.ppf((np.arange(QUANTILES) + 0.5) / QUANTILES)


@dataclass(frozen=True, slots=True)
class Standardiser:
    """Columns to mean 0 and standard deviation 1. NaN becomes 0, and so does a column that was constant when fitted."""

    mean: Floats
    factor: Floats

    @classmethod
    def of(cls, table: Floats) -> Standardiser:
        """Fit to (n, columns), n at least 1; NaN is ignored."""
        known = np.isfinite(table)
        count = np.maximum(1, known.sum(axis=0))
        mean = np.where(known, table, 0.0).sum(axis=0) / count
        deviation = np.sqrt((np.where(known, table - mean, 0.0) ** 2).sum(axis=0) / count)
        factor = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > _TINY)
        return cls(mean, factor)

    def __call__(self, table: Floats) -> Floats:
        """Standardise (n, columns); values are clipped to 4 standard deviations."""
        return np.nan_to_num(np.clip((table - self.mean) * self.factor, -4.0, 4.0))


def standard_scores(values: Floats) -> Floats:
    """Return (n,) values as standard scores; zeros if all are equal."""
    return Standardiser.of(values[:, None])(values[:, None])[:, 0]


@dataclass(frozen=True, slots=True)
class PowerTransform:
    """Labels to nearly normal standard scores, by the power transform of Yeo and Johnson (2000), and back.

    Without it a few networks that hardly train, far below all others, would dominate a Gaussian process.

    before: mean and standard deviation of the labels. after: the same of the transformed labels.
    """

    power: float
    before: tuple[float, float]
    after: tuple[float, float]

    @classmethod
    def of(cls, values: Floats) -> PowerTransform:
        """Fit to (n,) labels, n at least 1: the most probable power under a normal prior around 1, the identity."""
        before = float(values.mean()), float(values.std()) or 1.0
        scores = (values - before[0]) / before[1]
        if not np.ptp(scores):
            return cls(1.0, before, (0.0, 1.0))
        optimum = minimize_scalar(
            lambda power: (power - 1) ** 2 / (2 * _POWER_DEVIATION**2) - yeojohnson_llf(power, scores),
            bounds=_POWER_BOUNDS,
            method="bounded",
        )
        power = float(optimum.x)
        transformed = yeojohnson(scores, power)
        return cls(power, before, (float(transformed.mean()), float(transformed.std()) or 1.0))

    def __call__(self, values: Floats) -> Floats:
        """Transform labels, of any shape, to standard scores."""
        transformed: Floats = yeojohnson((values - self.before[0]) / self.before[1], self.power)
        return (transformed - self.after[0]) / self.after[1]

    def inverse(self, scores: Floats) -> Floats:
        """Transform standard scores, of any shape, back to labels."""
        low, high = yeojohnson(np.array([-_MAX_DEVIATIONS, _MAX_DEVIATIONS]), self.power)
        transformed = np.clip(scores * self.after[1] + self.after[0], low, high)
        return _inverse_yeojohnson(transformed, self.power) * self.before[1] + self.before[0]

    def quantiles(self, mean: Floats, deviation: Floats) -> Floats:
        """Return (n, QUANTILES) equally probable labels, ascending. mean, deviation: (n,), of their normal scores."""
        return self.inverse(mean[:, None] + deviation[:, None] * _NORMAL_QUANTILES)


def variance_factor(squared_errors: Floats, prior_labels: float) -> float:
    """Return the factor that calibrates variances. squared_errors: (n,) of held-out labels, divided by variance.

    prior_labels: how many labels' worth of prior there is for a factor of 1.
    """
    return (float(squared_errors.sum()) + prior_labels) / (len(squared_errors) + prior_labels)


def _inverse_yeojohnson(transformed: Floats, power: float) -> Floats:
    """Invert `scipy.stats.yeojohnson` within its range."""
    positive, negative = np.maximum(transformed, 0.0), np.maximum(-transformed, 0.0)
    above = np.expm1(positive) if abs(power) < _TINY else (positive * power + 1) ** (1 / power) - 1
    rest = 2 - power
    below = np.expm1(negative) if abs(rest) < _TINY else (negative * rest + 1) ** (1 / rest) - 1
    return np.where(transformed > 0, above, -below)
