"""How many workers a campaign keeps. Apart from failures, so that either can change alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class ScalingPolicy(Protocol):
    """Says how many workers to keep."""

    def wanted(self, remaining: int) -> int:
        """Workers wanted while `remaining` jobs wait or run."""
        ...


@dataclass(frozen=True, slots=True)
class FixedWorkers:
    """Always `count` workers, but never more than there are jobs left."""

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"a campaign needs at least one worker, not {self.count}")

    def wanted(self, remaining: int) -> int:
        """`count`, or `remaining` if that is less."""
        return min(self.count, remaining)
