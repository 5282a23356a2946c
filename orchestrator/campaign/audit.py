"""How well cheap labels rank architectures: against labels of the same architectures trained on their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.predictors.ranking import rank_correlation

_RESAMPLES = 2000
_INTERVAL = (5.0, 95.0)
_FEWEST = 3  # architectures that a correlation makes sense for


@dataclass(frozen=True, slots=True)
class AuditPair:
    """One architecture labelled twice: values in 0..1, and the seconds of each label."""

    cheap: float
    full: float
    cheap_seconds: float
    full_seconds: float


@dataclass(frozen=True, slots=True)
class Audit:
    """Spearman's rank correlation and how many times dearer the full label is; 90 % bootstrap intervals.

    Correlations are None where too few or equal values leave them undefined.
    """

    architectures: int
    correlation: float | None
    correlation_low: float | None
    correlation_high: float | None
    cost_ratio: float
    cost_ratio_low: float
    cost_ratio_high: float


def audit(pairs: Sequence[AuditPair], seed: int = 0) -> Audit | None:
    """Compare; None for no pairs. Intervals come from resampling architectures (Efron's percentile bootstrap)."""
    if not pairs:
        return None
    table = np.array([(p.cheap, p.full, p.cheap_seconds, p.full_seconds) for p in pairs])
    drawn = table[np.random.default_rng(seed).integers(0, len(table), (_RESAMPLES, len(table)))]
    whole, resampled = float(_correlations(table[None])[0]), _correlations(drawn)
    low, high = np.nanpercentile(resampled, _INTERVAL) if np.isfinite(whole) else (np.nan, np.nan)
    ratio_low, ratio_high = np.percentile(_ratios(drawn), _INTERVAL)
    return Audit(
        architectures=len(table),
        correlation=_defined(whole),
        correlation_low=_defined(low),
        correlation_high=_defined(high),
        cost_ratio=float(_ratios(table[None])[0]),
        cost_ratio_low=float(ratio_low),
        cost_ratio_high=float(ratio_high),
    )


def rank_correlations(columns: Mapping[str, Sequence[float]], truth: Sequence[float]) -> dict[str, float | None]:
    """Spearman's correlation of each column with `truth`, entry by entry; None where it is undefined."""
    tables = {name: np.column_stack((column, truth)) for name, column in columns.items()}
    return {name: _defined(float(_correlations(table[None])[0])) for name, table in tables.items()}


def _correlations(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's correlation of columns 0 and 1 in each of (S, N, 2 or more) samples; NaN where it is undefined."""
    if samples.shape[1] < _FEWEST:
        return np.full(len(samples), np.nan)
    return rank_correlation(samples[:, :, 0], samples[:, :, 1])


def _ratios(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = samples.sum(axis=1)
    ratios: NDArray[np.float64] = sums[:, 3] / np.maximum(sums[:, 2], 1e-9)
    return ratios


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
