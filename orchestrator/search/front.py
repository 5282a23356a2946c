"""Fronts of value against cost: which networks are on it, and how much a further one is expected to add."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from moocore import is_nondominated
from numpy.typing import NDArray

from orchestrator.search.distances import Floats
from orchestrator.search.improvement import expected_improvement

_LAST = 1e-6  # width of the step that a network at the limit still counts for


def on_front(values: Floats, costs: Floats) -> NDArray[np.bool_]:
    """Return (n,) whether no other network has at least the value at no more cost. Of equal ones the first is kept.

    values: (n,), higher is better. costs: (n,).
    """
    if not len(values):
        return np.zeros(0, np.bool_)
    kept: NDArray[np.bool_] = np.asarray(is_nondominated(np.column_stack([costs, -values])), np.bool_)
    return kept


@dataclass(frozen=True, slots=True, eq=False)
class Front:
    """Labelled networks, and the part of the axis of costs that counts.

    values, costs: (m,) of the networks, values higher is better. worst: the value that counts where no network is known
    that cheap. least, limit: the ends of the axis.
    """

    values: Floats
    costs: Floats
    worst: float
    least: float
    limit: float

    @property
    def best(self) -> float:
        """The best value at any cost up to the limit."""
        return self._steps()[1][-1]

    @property
    def area(self) -> float:
        """The area below the front: value above `worst` times the logarithm of cost."""
        edges, levels = self._steps()
        ends = [*edges[1:], math.log(self.limit)]
        widths = [end - max(edge, math.log(self.least)) for edge, end in zip(edges, ends, strict=True)]
        return math.fsum(max(0.0, w) * (level - self.worst) for w, level in zip(widths, levels, strict=True))

    def expected_improvement(self, mean: Floats, deviation: Floats, costs: Floats) -> Floats:
        """Return (n,) the area that each candidate is expected to add (Emmerich et al. 2006, with certain costs).

        mean, deviation: (n,) predicted values. costs: (n,). A candidate improves the front at its cost and above, so
        the area is a sum of expected improvements over the steps of the front. One above the limit adds nothing.
        """
        logs = np.clip(np.log(costs), math.log(self.least), None)
        edges, levels = self._steps()
        end, total = math.log(self.limit) + _LAST, np.zeros(len(mean))
        for left, right, level in zip(edges, [*edges[1:], end], levels, strict=True):
            width = np.clip(right - np.maximum(logs, left), 0.0, None)
            total += width * expected_improvement(mean, deviation, level)
        return total

    def _steps(self) -> tuple[list[float], list[float]]:
        """Return where each step of the front begins, in log costs, and its value. The first has no beginning."""
        edges, levels = [-math.inf], [self.worst]
        for row in np.lexsort((-self.values, self.costs)):
            if self.costs[row] <= self.limit and self.values[row] > levels[-1]:
                edges.append(math.log(self.costs[row]))
                levels.append(float(self.values[row]))
        return edges, levels
