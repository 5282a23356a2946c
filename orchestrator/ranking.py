"""Spearman's rank correlation, of many samples at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def rank_correlation(one: Floats, other: Floats) -> Floats:
    """Of (..., N) and (..., N), along the last axis: ties share their mean rank; NaN where either is all equal."""
    from scipy.stats import rankdata  # takes as long to load as all the rest of the command line, which rarely ranks

    a, b = rankdata(one, axis=-1), rankdata(other, axis=-1)
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    spread = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    with np.errstate(invalid="ignore"):
        correlation: Floats = np.where(spread > 0, (a * b).sum(-1) / spread, np.nan)
    return correlation
