"""Sums over this process's life: seconds of training, and of those waiting for data; checkpoints."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tally:
    """training_s: seconds in trainings, loading included. waiting_s: of those, waiting for batches or loading them.

    checkpoints: that were written.
    """

    training_s: float = 0.0
    waiting_s: float = 0.0
    checkpoints: int = 0

    def __sub__(self, other: Tally) -> Tally:
        return Tally(
            self.training_s - other.training_s,
            self.waiting_s - other.waiting_s,
            self.checkpoints - other.checkpoints,
        )


_training_s, _waiting_s, _checkpoints = 0.0, 0.0, 0


def count_waiting(batches: Iterable[T]) -> Iterator[T]:
    """Yield the batches of a training, and add up the time until each comes and until the next is asked for."""
    global _training_s, _waiting_s
    iterator = iter(batches)
    before = time.perf_counter()
    while True:
        batch = next(iterator, None)
        came = time.perf_counter()
        _waiting_s += came - before
        _training_s += came - before
        if batch is None:
            return
        yield batch
        before = time.perf_counter()
        _training_s += before - came


def add_checkpoint() -> None:
    """Count a checkpoint that was written."""
    global _checkpoints
    _checkpoints += 1


def read() -> Tally:
    """Return the sums so far. May be called from another thread."""
    return Tally(_training_s, _waiting_s, _checkpoints)
