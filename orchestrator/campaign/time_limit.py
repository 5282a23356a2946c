"""Time limits of attempts, after which a worker counts as lost. A worker on a disconnected node sends no event."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass, field

from workers.messages.label import LabelJob

_RECENT_LABELS = 128  # durations kept per fidelity


@dataclass(slots=True)
class TimeLimits:
    """The recipe's limit until `min_labels` labels of the fidelity are done, then `factor` times their usual duration.

    The usual duration is the given quantile of recent durations. Every further attempt at a label may take twice as
    long, up to the recipe's limit: so a large network is not killed every time because earlier ones were small, and a
    machine that becomes slow does not lose all its labels.
    """

    factor: float = 5.0
    quantile: float = 0.9
    min_labels: int = 8
    min_limit_s: float = 60.0
    _seconds: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=_RECENT_LABELS)))

    def add(self, job: LabelJob, seconds: float) -> None:
        """Record the duration of a finished label."""
        self._seconds[job.request.fidelity].append(seconds)

    def limit_s(self, job: LabelJob) -> float:
        """Return the seconds that this attempt may take."""
        recipe_limit, seconds = job.request.recipe.time_limit_s, sorted(self._seconds[job.request.fidelity])
        if len(seconds) < self.min_labels:
            return recipe_limit
        usual = seconds[math.ceil(self.quantile * len(seconds)) - 1]
        return min(recipe_limit, max(self.min_limit_s, self.factor * usual) * 2.0 ** (job.attempt - 1))
