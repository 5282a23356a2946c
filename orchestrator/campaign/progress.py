"""What a campaign shows of itself: counts and the workers' time, never the reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from workers.messages.label import Outcome


class CampaignState(StrEnum):
    """Where a campaign stands."""

    RUNNING = "running"
    DRAINING = "draining"  # nothing new starts, what is in flight ends
    STOPPING = "stopping"  # all workers are killed; results that crossed the kill are still taken
    FINISHED = "finished"


@dataclass(slots=True)
class WorkerTime:
    """One worker's time, from ready to gone, and how much of it was label work."""

    ready: float
    gone: float | None = None
    busy: float = 0.0


@dataclass(frozen=True, slots=True)
class CampaignProgress:
    """Counts at one moment. `problem` says why a campaign stopped by itself."""

    state: CampaignState
    todo: int
    in_flight: int
    done: int
    failed: int
    starting: int
    idle: int
    outcomes: Mapping[Outcome, int]  # of all attempts, retried ones too
    utilisation: float  # share of the ready workers' time spent in label work
    problem: str | None = None


def utilisation(times: Mapping[int, WorkerTime], now: float) -> float:
    """Share of the workers' time, from ready to gone or `now`, that was label work; 0 before there is any."""
    alive = sum((now if time.gone is None else time.gone) - time.ready for time in times.values())
    return sum(time.busy for time in times.values()) / alive if alive > 0 else 0.0
