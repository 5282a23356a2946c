"""Whether two groups of labels answer differently for the same networks."""

from __future__ import annotations

import numpy as np

from predictor.models import Prediction
from predictor.models.base import HALF_WIDTH_90

_MAX_OPPOSITE = 0.2  # of the pairs of networks that two sets may rank oppositely


def disagreement(first: Prediction, second: Prediction) -> str | None:
    """Return how two predictions for the same n networks differ; None if they agree.

    They differ if a fifth of all pairs of networks are ranked oppositely, or if the values of more than half of the
    networks differ by more than both 90 % intervals together allow.
    """
    above, other_above = (np.sign(p.mean[:, None] - p.mean[None]) for p in (first, second))
    upper = np.triu_indices(len(first.mean), 1)
    opposite, pairs = int((above * other_above < 0)[upper].sum()), len(upper[0])
    if opposite > _MAX_OPPOSITE * pairs:
        return f"ranks {opposite} of {pairs} pairs of them the other way round"
    half_width = HALF_WIDTH_90 * np.sqrt(first.deviation**2 + second.deviation**2)
    apart = int((np.abs(first.mean - second.mean) > half_width).sum())  # never where a prediction only ranks
    if 2 * apart > len(first.mean):
        return f"differs by more than the intervals for {apart} of {len(first.mean)} of them"
    return None
