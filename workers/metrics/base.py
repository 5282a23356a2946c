"""What every metric offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class Metric(ABC):
    """Gathers predictions, then gives the metrics: names to numbers, higher is better, 0..1."""

    @abstractmethod
    def update(self, output: Any, target: Any) -> None:
        """Count what `Task.predict` gave for one batch against its targets."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """All metrics over what was counted."""
