"""What larger networks gain on average over all source tasks: a line on FLOPs and parameters.

It ranks networks of a space that no source task covers, where models of single tasks extrapolate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.label_set import Floats, LabelSet
from predictor.models.scaling import Standardiser

_RIDGE = 0.1  # strength of the penalty, as a share of the number of labels
_PRIOR_VARIANCE = 1.0  # of the errors, in squared standard scores: those of the mean label
_PRIOR_SPACES = 1.0  # spaces' worth of that prior
_TINY = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class CostTrend:
    """centre, slopes: (2,) of log FLOPs and log parameters. variance: of errors in spaces that it was not fitted to."""

    centre: Floats
    slopes: Floats
    variance: float

    @classmethod
    def fit(cls, sources: Sequence[LabelSet], scores: Sequence[Floats]) -> CostTrend:
        """Average the slopes of all sets, with equal weight for each space. scores: for each set, (n,) standard scores.

        Slopes are in standard scores per standard deviation of the cost within a set, since spaces differ in width.
        """
        costs = [_costs(source) for source in sources]
        tables = [Standardiser.of(cost)(cost) for cost in costs]
        slopes = [_slopes(table, values) for table, values in zip(tables, scores, strict=True)]
        spaces = [source.space for source in sources]
        unit = np.maximum(np.median([cost.std(axis=0) for cost in costs], axis=0), _TINY)
        centre = np.mean([cost.mean(axis=0) for cost in costs], axis=0)
        squared = defaultdict[str, list[float]](list)
        for space, table, values in zip(spaces, tables, scores, strict=True):
            others = [(s, slope) for s, slope in zip(spaces, slopes, strict=True) if s != space]
            if others:
                squared[space].append(float(((values - table @ _mean_by_space(others)) ** 2).mean()))
        errors = [float(np.mean(of_space)) for of_space in squared.values()]
        variance = (sum(errors) + _PRIOR_SPACES * _PRIOR_VARIANCE) / (len(errors) + _PRIOR_SPACES)
        return cls(centre, _mean_by_space(list(zip(spaces, slopes, strict=True))) / unit, variance)

    def scores(self, query: LabelSet) -> Floats:
        """Return (n,) standard scores."""
        scores: Floats = (_costs(query) - self.centre) @ self.slopes
        return scores

    def state(self) -> dict[str, NDArray[Any]]:
        """Return arrays by name, for `restore`."""
        return {"centre": self.centre, "slopes": self.slopes, "variance": np.array([self.variance])}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> CostTrend:
        """Inverse of `state`."""
        return cls(arrays["centre"], arrays["slopes"], float(arrays["variance"][0]))


def _costs(labels: LabelSet) -> Floats:
    return np.column_stack([labels.column("log_flops"), labels.column("log_params")])


def _slopes(table: Floats, values: Floats) -> Floats:
    """Return (2,) ridge regression slopes; columns and values are standardised."""
    gram = table.T @ table / len(table) + _RIDGE * np.eye(table.shape[1])
    return np.asarray(np.linalg.solve(gram, table.T @ values / len(table)), np.float64)


def _mean_by_space(slopes: Sequence[tuple[str, Floats]]) -> Floats:
    """Return (2,) the mean over spaces of the mean slopes of each."""
    by_space = defaultdict[str, list[Floats]](list)
    for space, slope in slopes:
        by_space[space].append(slope)
    return np.asarray(np.mean([np.mean(of_space, axis=0) for of_space in by_space.values()], axis=0), np.float64)
