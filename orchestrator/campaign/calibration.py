"""Calibrate cheap labels: estimate full labels from them by a line, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from predictor.label_set import Floats

MIN_AUDITED = 8  # networks with both labels; fewer say little about the errors


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimated full labels, in their metric: (n,) means and standard deviations. These contain the labels' noise."""

    mean: Floats
    deviation: Floats


def estimate_full_labels(cheap: Floats, audited: Sequence[int], truth: Sequence[float]) -> Estimate:
    """Estimate the full labels of all networks by a line that is fitted to the audited ones.

    The deviation is that of the Student distribution of a new label (least squares, normal errors).

    cheap: (n,) cheap labels of all networks, smoothed or raw. audited: indices of the networks that have full labels,
    at least five. truth: their full labels.
    """
    known, targets = cheap[list(audited)], np.asarray(truth, np.float64)
    centre, spread = known.mean(), float(((known - known.mean()) ** 2).sum())
    slope = float((known - centre) @ targets) / spread if spread else 0.0
    mean = targets.mean() + slope * (cheap - centre)
    freedom = len(targets) - 2
    variance = float(((targets - mean[list(audited)]) ** 2).sum()) / freedom
    further = (cheap - centre) ** 2 / spread if spread else np.zeros_like(cheap)
    deviation = np.sqrt(variance * freedom / (freedom - 2) * (1 + 1 / len(targets) + further))
    return Estimate(mean, deviation)


def leave_one_out(cheap: Floats, audited: Sequence[int], truth: Sequence[float]) -> Estimate:
    """Estimate the full label of each audited network from the others alone."""
    parts = []
    for number, index in enumerate(audited):
        others = [*audited[:number], *audited[number + 1 :]]
        one = estimate_full_labels(cheap, others, [*truth[:number], *truth[number + 1 :]])
        parts.append((one.mean[index], one.deviation[index]))
    mean, deviation = np.array(parts, np.float64).T
    return Estimate(mean, deviation)
