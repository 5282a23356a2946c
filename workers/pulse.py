"""Signs of life of this process's attempt, which its evaluator gives and the control plane asks for."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pulse:
    """The last sign of life. age_s: seconds since then. step: of the training, counted over all of its trainings.

    saved: the step that the last checkpoint was written at, 0 if there is none.
    """

    attempt: str
    age_s: float
    step: int
    saved: int


_attempt, _since, _step, _saved = "", 0.0, 0, 0


def begin(attempt: str) -> None:
    """Begin an attempt, by its id."""
    global _attempt, _since, _step, _saved
    _attempt, _since, _step, _saved = attempt, time.monotonic(), 0, 0


def beat(step: int | None = None, saved: int | None = None) -> None:
    """Show that the attempt goes on. step, saved: as in Pulse, unchanged if None."""
    global _since, _step, _saved
    _since = time.monotonic()
    _step = _step if step is None else step
    _saved = _saved if saved is None else saved


def read() -> Pulse:
    """Return the last sign of life. May be called from another thread."""
    return Pulse(_attempt, time.monotonic() - _since, _step, _saved)
