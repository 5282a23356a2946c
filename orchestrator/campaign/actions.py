"""Actions of the controller, to be carried out in order."""

from __future__ import annotations

from dataclasses import dataclass

from workers.messages.label import AttemptReport, LabelJob


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a worker with a new id."""

    worker: int


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Give a ready, idle worker a job."""

    worker: int
    job: LabelJob


@dataclass(frozen=True, slots=True)
class Kill:
    """End a worker at once, even if it is working."""

    worker: int


@dataclass(frozen=True, slots=True)
class SaveReport:
    """Save a report that no worker could write, or that the failure policy has marked final."""

    report: AttemptReport


@dataclass(frozen=True, slots=True)
class Finish:
    """End the campaign; the controller ignores all later events."""


Action = Spawn | Dispatch | Kill | SaveReport | Finish
