"""The policy for failed attempts."""

from __future__ import annotations

from dataclasses import dataclass

from workers.messages.label import AttemptReport, Outcome

INFRASTRUCTURE = frozenset({Outcome.CRASH, Outcome.LOST_NODE, Outcome.TIMEOUT, Outcome.HOST_OUT_OF_MEMORY})


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again with the batch split into `split` parts whose gradients are accumulated."""

    split: int


@dataclass(frozen=True, slots=True)
class Requeue:
    """Try again unchanged."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not try again in this campaign, and if `final` not in a later one either."""

    reason: str
    final: bool


FailureDecision = Retry | Requeue | GiveUp


@dataclass(frozen=True, slots=True)
class FailureHistory:
    """Earlier failures.

    infrastructure: of the architecture since its last success, including the current one unless the attempt saved a
    later checkpoint than the attempts before it.
    """

    infrastructure: int = 0


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """Splits the batch after out of memory, requeues infrastructure failures up to a cap, gives up on other failures.

    The architecture is not to blame for the failure of a machine, but an architecture that kills every worker must be
    stopped: hence the cap. Reaching it is not final, since a later campaign may have better machines. A preemption
    after progress does not count, so a long label ends however often its machines are taken away.
    """

    infrastructure_cap: int = 3
    max_split: int = 8

    def decide(self, report: AttemptReport, history: FailureHistory) -> FailureDecision:
        """Decide what to do after the failed attempt of `report`."""
        if report.outcome is Outcome.OUT_OF_MEMORY:
            split = report.job.split * 2
            if split <= self.max_split:
                return Retry(split)
            return GiveUp(f"out of memory with the batch in {report.job.split} parts: {report.message}", final=True)
        if report.outcome in INFRASTRUCTURE:
            if history.infrastructure < self.infrastructure_cap:
                return Requeue()
            return GiveUp(f"{history.infrastructure} infrastructure failures, last: {report.message}", final=False)
        if report.outcome is Outcome.STOPPED:
            return Requeue()
        return GiveUp(report.message, final=True)
