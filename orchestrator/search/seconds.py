"""Seconds of labelling a network, learned from those that the store has."""

from __future__ import annotations

import numpy as np

from orchestrator.search.distances import Floats

MIN_ROWS = 5  # labels below which seconds are not predicted
_MAX_POWER = 2.0


def predicted_seconds(flops: Floats, known_flops: Floats, known_seconds: Floats) -> Floats | None:
    """Return (n,) seconds for networks with these FLOPs, by a line through log seconds and log FLOPs.

    known_flops, known_seconds: (m,) of labels; those that are not positive are ignored. None with fewer than 5 of them.
    The line's slope is between 0 and 2, so that a few slow labels of small networks do not make large ones free. FLOPs
    outside the known range count as its ends.
    """
    usable = (known_flops > 0) & (known_seconds > 0)
    if usable.sum() < MIN_ROWS:
        return None
    x, y = np.log(known_flops[usable]), np.log(known_seconds[usable])
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread if spread > 0 else 0.0
    slope = min(max(slope, 0.0), _MAX_POWER)
    inputs = np.log(np.clip(flops, known_flops[usable].min(), known_flops[usable].max()))
    return np.asarray(np.exp(y.mean() + slope * (inputs - x.mean())), np.float64)
