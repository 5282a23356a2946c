"""Calibrate cheap labels: estimate full labels from them and from what else is known of the networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_AUDITED = 8  # networks with both labels; fewer do not determine the weights of four columns
_LOGARITHMIC = frozenset({"flops", "params"})

Floats = NDArray[np.float64]
Columns = Mapping[str, Sequence[float]]  # by name, one number for each network


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimated full labels, in their metric: (n,) means and standard deviations. These contain the labels' noise."""

    mean: Floats
    deviation: Floats


def estimate_full_labels(audited: Columns, truth: Sequence[float], networks: Columns) -> Estimate:
    """Estimate the full labels of `networks` by a Bayesian ridge regression on audited networks.

    The strength of the penalty maximises the evidence (MacKay, Bayesian Interpolation, 1992), so that a column hardly
    counts if few networks do not show that it helps.

    audited, networks: the same columns, such as the cheap label and the costs, which count by their logarithm. truth:
    full labels of the audited networks.
    """
    from sklearn.linear_model import BayesianRidge  # scikit-learn takes a second to import
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    targets = np.asarray(truth, np.float64)
    centre, scale = targets.mean(), targets.std() or 1.0
    model = make_pipeline(StandardScaler(), BayesianRidge())
    model.fit(_matrix(audited, list(audited)), (targets - centre) / scale)
    mean, deviation = model.predict(_matrix(networks, list(audited)), return_std=True)
    return Estimate(centre + scale * mean, scale * deviation)


def leave_one_out(audited: Columns, truth: Sequence[float]) -> Estimate:
    """Estimate the full label of each audited network from the others alone."""
    count = len(truth)
    parts = []
    for left_out in range(count):
        others = [number for number in range(count) if number != left_out]
        parts.append(
            estimate_full_labels(
                {name: [column[number] for number in others] for name, column in audited.items()},
                [truth[number] for number in others],
                {name: [column[left_out]] for name, column in audited.items()},
            )
        )
    return Estimate(np.concatenate([p.mean for p in parts]), np.concatenate([p.deviation for p in parts]))


def _matrix(columns: Columns, names: Sequence[str]) -> Floats:
    return np.column_stack(
        [np.log(columns[name]) if name in _LOGARITHMIC else np.asarray(columns[name], np.float64) for name in names]
    )
