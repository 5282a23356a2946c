"""The progress of a campaign: counts and the workers' time, without the reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from workers.messages.label import Outcome


class CampaignState(StrEnum):
    """The phase of a campaign."""

    RUNNING = "running"
    DRAINING = "draining"  # no new jobs start, running ones end
    STOPPING = "stopping"  # all workers are killed; results that were already available still count
    FINISHED = "finished"


@dataclass(slots=True)
class WorkerTime:
    """One worker's times in seconds. busy: the time spent on labels between `ready` and `gone`."""

    ready: float
    gone: float | None = None
    busy: float = 0.0


@dataclass(frozen=True, slots=True)
class CampaignProgress:
    """Counts at one moment.

    problem: why the campaign stopped itself, if it did. interrupted: whether it was drained or stopped early.
    """

    state: CampaignState
    todo: int
    in_flight: int
    done: int
    failed: int
    starting: int
    idle: int
    outcomes: Mapping[Outcome, int]  # of all attempts, including retried ones
    utilisation: float  # share of the ready workers' time spent on labels
    problem: str | None = None
    interrupted: bool = False


def utilisation(times: Mapping[int, WorkerTime], now: float) -> float:
    """Return the share of the workers' time spent on labels, up to `now`; 0 before a worker is ready."""
    alive = sum((now if time.gone is None else time.gone) - time.ready for time in times.values())
    return sum(time.busy for time in times.values()) / alive if alive > 0 else 0.0
