"""Events for the controller. Times are seconds since the epoch, read by the sender of the event."""

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
    card: str = ""  # name of its GPU, empty without one


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A worker's attempt was at work at `last`. step, saved: as in `workers.pulse.Pulse`."""

    worker: int
    attempt: str
    last: float
    step: int
    saved: int
    now: float


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """A worker finished its job and is idle. The report of a label or of a final failure is in its spool."""

    worker: int
    report: AttemptReport
    now: float


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker died, before it was ready or while it ran a job; `outcome` is the cause."""

    worker: int
    outcome: Outcome
    message: str
    node: str
    now: float


@dataclass(frozen=True, slots=True)
class CapacityChanged:
    """Nodes joined or left. workers: how many workers of this campaign the cluster can hold now."""

    workers: int
    now: float


@dataclass(frozen=True, slots=True)
class LabelsStored:
    """The store has these labels. Another campaign may have made them, or a worker that died after its report."""

    keys: tuple[str, ...]
    now: float


@dataclass(frozen=True, slots=True)
class Drain:
    """Start no new jobs; finish the running ones."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End at once and kill all workers."""


Event = Tick | WorkerReady | Heartbeat | AttemptEnded | WorkerLost | CapacityChanged | LabelsStored | Drain | Stop
