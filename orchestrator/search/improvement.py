"""The expected improvement of normal variables."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from orchestrator.search.distances import Floats

_TINY = 1e-12
_ROOT = float(np.sqrt(2 * np.pi))


def expected_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """Return (n,) how much each normal variable exceeds `best` on average, at least 0 (Jones et al. 1998, eq. 15)."""
    gain, spread = mean - best, np.maximum(deviation, _TINY)
    z = gain / spread
    density = np.exp(-0.5 * z**2) / _ROOT
    return np.asarray(np.maximum(gain * ndtr(z) + spread * density, 0.0), np.float64)
