"""What the controller wants done, in the order given."""

from __future__ import annotations

from dataclasses import dataclass

from workers.messages.label import AttemptReport, LabelJob


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a worker under an id that was never used before."""

    worker: int


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Give a ready, idle worker a job."""

    worker: int
    job: LabelJob


@dataclass(frozen=True, slots=True)
class Kill:
    """End a worker at once, whatever it is doing."""

    worker: int


@dataclass(frozen=True, slots=True)
class SaveReport:
    """Keep a report that no worker could write, or that the failure policy has marked final."""

    report: AttemptReport


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing is left to do; the controller ignores every later event."""


Action = Spawn | Dispatch | Kill | SaveReport | Finish
