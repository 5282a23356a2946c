"""The interface of metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class Metric(ABC):
    """Accumulates predictions over batches and computes one or several metrics: higher is better, 0 to 1."""

    @abstractmethod
    def update(self, output: Any, target: Any) -> None:
        """Add a batch: what `Task.predict` returned, and the targets."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Return all metrics over the batches so far, by name."""
