"""Measure how well cheap labels rank architectures, against labels of the same architectures trained from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.predictors.ranking import rank_correlation

_RESAMPLES = 2000
_INTERVAL = (5.0, 95.0)
_MIN_ARCHITECTURES = 3  # fewer give no correlation


@dataclass(frozen=True, slots=True)
class AuditPair:
    """The cheap and the full label of one architecture, and the seconds that each took."""

    cheap: float
    full: float
    cheap_seconds: float
    full_seconds: float


@dataclass(frozen=True, slots=True)
class Audit:
    """Spearman's rank correlation and the cost of a full label relative to a cheap one, with 90 % bootstrap intervals.

    Correlations are None if they are undefined, because there are too few values or all are equal.
    """

    architectures: int
    correlation: float | None
    correlation_low: float | None
    correlation_high: float | None
    cost_ratio: float
    cost_ratio_low: float
    cost_ratio_high: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """Spearman's rank correlation with full labels, and a 90 % bootstrap interval; None where it is undefined."""

    correlation: float | None
    low: float | None
    high: float | None


def audit(pairs: Sequence[AuditPair], seed: int = 0) -> Audit | None:
    """Compare cheap and full labels; None for no pairs.

    Intervals come from resampling architectures (Efron's percentile bootstrap).
    """
    if not pairs:
        return None
    table = np.array([(p.cheap, p.full, p.cheap_seconds, p.full_seconds) for p in pairs])
    drawn = _resampled(table, seed)
    ranked = _ranking(table, drawn)
    ratio_low, ratio_high = np.percentile(_ratios(drawn), _INTERVAL)
    return Audit(
        architectures=len(table),
        correlation=ranked.correlation,
        correlation_low=ranked.low,
        correlation_high=ranked.high,
        cost_ratio=float(_ratios(table[None])[0]),
        cost_ratio_low=float(ratio_low),
        cost_ratio_high=float(ratio_high),
    )


def rank(values: Sequence[float], truth: Sequence[float], seed: int = 0) -> Ranking:
    """Compare values with the full labels of the same architectures. The interval is as in `audit`."""
    table = np.column_stack((values, truth))
    return _ranking(table, _resampled(table, seed))


def _resampled(table: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    drawn: NDArray[np.float64] = table[np.random.default_rng(seed).integers(0, len(table), (_RESAMPLES, len(table)))]
    return drawn


def _ranking(table: NDArray[np.float64], drawn: NDArray[np.float64]) -> Ranking:
    whole, resampled = float(_correlations(table[None])[0]), _correlations(drawn)
    low, high = np.nanpercentile(resampled, _INTERVAL) if np.isfinite(whole) else (np.nan, np.nan)
    return Ranking(_finite_or_none(whole), _finite_or_none(float(low)), _finite_or_none(float(high)))


def rank_correlations(columns: Mapping[str, Sequence[float]], truth: Sequence[float]) -> dict[str, float | None]:
    """Return Spearman's correlation of each column with `truth`; None if it is undefined."""
    tables = {name: np.column_stack((column, truth)) for name, column in columns.items()}
    return {name: _finite_or_none(float(_correlations(table[None])[0])) for name, table in tables.items()}


def _correlations(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's correlation of columns 0 and 1 in each of (S, N, 2 or more) samples; NaN if it is undefined."""
    if samples.shape[1] < _MIN_ARCHITECTURES:
        return np.full(len(samples), np.nan)
    return rank_correlation(samples[:, :, 0], samples[:, :, 1])


def _ratios(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = samples.sum(axis=1)
    ratios: NDArray[np.float64] = sums[:, 3] / np.maximum(sums[:, 2], 1e-9)
    return ratios


def _finite_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
