"""What the controller is told. Times are seconds since the epoch, read by whoever sends the event."""

from __future__ import annotations

from dataclasses import dataclass

from workers.messages.label import AttemptReport, Outcome


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""

    now: float


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A spawned worker can take its first job."""

    worker: int
    now: float
    node: str = ""


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """A worker finished its job, well or badly, and lives on. It has put the report in its spool already."""

    worker: int
    report: AttemptReport
    now: float


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker died, before it was ready or with a job in hand; `outcome` says how."""

    worker: int
    outcome: Outcome
    message: str
    node: str
    now: float


@dataclass(frozen=True, slots=True)
class RoomChanged:
    """Nodes have joined or left: the cluster holds so many workers of this campaign now."""

    workers: int
    now: float


@dataclass(frozen=True, slots=True)
class Drain:
    """Start nothing new; finish what is in flight."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End at once."""


Event = Tick | WorkerReady | AttemptEnded | WorkerLost | RoomChanged | Drain | Stop
