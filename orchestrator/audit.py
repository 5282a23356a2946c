"""How well cheap labels rank architectures: against labels of the same architectures trained on their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

_RESAMPLES = 2000
_INTERVAL = (5.0, 95.0)


@dataclass(frozen=True, slots=True)
class Pair:
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


def audit(pairs: Sequence[Pair], seed: int = 0) -> Audit | None:
    """Compare; None for no pairs. Intervals come from resampling architectures (Efron's percentile bootstrap)."""
    if not pairs:
        return None
    table = np.array([(p.cheap, p.full, p.cheap_seconds, p.full_seconds) for p in pairs])
    rng = np.random.default_rng(seed)
    drawn = [table[rng.integers(0, len(table), len(table))] for _ in range(_RESAMPLES)]
    ranks = [r for r in (_correlation(rows) for rows in drawn) if r is not None]
    ratios = [_ratio(rows) for rows in drawn]
    low, high = np.percentile(ranks, _INTERVAL) if ranks else (None, None)
    whole = _correlation(table)
    return Audit(
        len(table),
        whole,
        None if whole is None or low is None else float(low),
        None if whole is None or high is None else float(high),
        _ratio(table),
        *(float(end) for end in np.percentile(ratios, _INTERVAL)),
    )


def _correlation(rows: np.ndarray) -> float | None:
    if len(rows) < 3 or min(len(np.unique(rows[:, 0])), len(np.unique(rows[:, 1]))) < 2:
        return None
    return float(spearmanr(rows[:, 0], rows[:, 1]).statistic)


def _ratio(rows: np.ndarray) -> float:
    return float(rows[:, 3].sum() / max(rows[:, 2].sum(), 1e-9))
