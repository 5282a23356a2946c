"""How long an attempt may take before its worker is taken for lost: a network that is cut says nothing."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass, field

from workers.messages.label import LabelJob

_REMEMBERED = 128  # labels of each fidelity


@dataclass(slots=True)
class TimeLimits:
    """The recipe's limit until `fewest` labels of the fidelity were made; then `factor` times what nine in ten took.

    Every further attempt at a label has twice as long, up to the recipe's limit: a slow network must not be killed for
    ever because those before it were small, nor all of them because the machine has become slow.
    """

    factor: float = 5.0
    quantile: float = 0.9
    fewest: int = 8
    least_s: float = 60.0
    _seconds: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=_REMEMBERED)))

    def learn(self, job: LabelJob, seconds: float) -> None:
        """A label took so long."""
        self._seconds[job.request.fidelity].append(seconds)

    def of(self, job: LabelJob) -> float:
        """Seconds that this attempt may take."""
        most, seconds = job.request.recipe.time_limit_s, sorted(self._seconds[job.request.fidelity])
        if len(seconds) < self.fewest:
            return most
        usual = seconds[math.ceil(self.quantile * len(seconds)) - 1]
        return min(most, max(self.least_s, self.factor * usual) * 2.0 ** (job.attempt - 1))
