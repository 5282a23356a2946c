"""Calibrate cheap labels: estimate full labels from them and from what else is known of the networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_AUDITED = 8  # networks with both labels; fewer say little about the errors
# How much a standard deviation of each column counts. Weights that are fitted to a dozen networks rank others worse;
# these were chosen on labels of `seg` (docs/decisions/0041-full-labels-estimated-by-the-predictor.md).
_WEIGHTS = {"smoothed": 1.0, "flops": 0.5, "synflow": 0.5}

Floats = NDArray[np.float64]
Columns = Mapping[str, Sequence[float]]  # by name, one number for each network


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimated full labels, in their metric: (n,) means and standard deviations. These contain the labels' noise."""

    mean: Floats
    deviation: Floats


def score(columns: Columns) -> Floats:
    """Return (n,) scores that rank networks: a weighted sum of the columns, each with mean 0 and variance 1.

    columns: `smoothed`, the predictor's value of a network once it has learned all cheap labels; `flops`, which count
    by their logarithm; `synflow`, if it is known. Others do not count.
    """
    total = np.zeros(len(columns["smoothed"]))
    for name, weight in _WEIGHTS.items():
        if name in columns:
            numbers = np.asarray(columns[name], np.float64)
            numbers = np.log(numbers) if name == "flops" else numbers
            total += weight * (numbers - numbers.mean()) / (numbers.std() or 1.0)
    return total


def estimate_full_labels(scores: Floats, audited: Sequence[int], truth: Sequence[float]) -> Estimate:
    """Estimate the full labels of all networks by a line that is fitted to the audited ones.

    The deviation is that of the Student distribution of a new label (least squares, normal errors).

    scores: (n,) of all networks. audited: indices of those with full labels, at least five. truth: these labels.
    """
    known, targets = scores[list(audited)], np.asarray(truth, np.float64)
    centre, spread = known.mean(), float(((known - known.mean()) ** 2).sum())
    slope = float((known - centre) @ targets) / spread if spread else 0.0
    mean = targets.mean() + slope * (scores - centre)
    freedom = len(targets) - 2
    variance = float(((targets - mean[list(audited)]) ** 2).sum()) / freedom
    further = (scores - centre) ** 2 / spread if spread else np.zeros_like(scores)
    deviation = np.sqrt(variance * freedom / (freedom - 2) * (1 + 1 / len(targets) + further))
    return Estimate(mean, deviation)


def leave_one_out(scores: Floats, audited: Sequence[int], truth: Sequence[float]) -> Estimate:
    """Estimate the full label of each audited network from the others alone."""
    parts = []
    for number, index in enumerate(audited):
        others = [*audited[:number], *audited[number + 1 :]]
        one = estimate_full_labels(scores, others, [*truth[:number], *truth[number + 1 :]])
        parts.append((one.mean[index], one.deviation[index]))
    mean, deviation = np.array(parts, np.float64).T
    return Estimate(mean, deviation)
