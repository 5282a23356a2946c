"""Make labels in the calling process, for small campaigns, debuggers and tests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from orchestrator.campaign.clock import steady_time
from orchestrator.campaign.events import AttemptEnded, Event, WorkerReady
from workers.execution.attempt import ReportSink, run_attempt
from workers.messages.label import Evaluator, LabelJob


class InProcessExecutor:
    """Runs one job at a time, inside `poll`. Time limits have no effect, and a crash ends the caller too."""

    def __init__(self, evaluator: Evaluator, spool: ReportSink, clock: Callable[[], float] = steady_time) -> None:
        self._evaluator = evaluator
        self._spool = spool
        self._clock = clock
        self._starting: deque[int] = deque()
        self._jobs: dict[int, LabelJob] = {}

    def spawn(self, worker: int) -> None:
        """The worker is ready at the next poll."""
        self._starting.append(worker)

    def dispatch(self, worker: int, job: LabelJob) -> None:
        """Queue the job for a later poll."""
        self._jobs[worker] = job

    def kill(self, worker: int) -> None:
        """Remove the worker and its queued job."""
        self._jobs.pop(worker, None)
        if worker in self._starting:
            self._starting.remove(worker)

    def poll(self, timeout: float) -> list[Event]:
        """Run the oldest queued job to its end, regardless of `timeout`."""
        events: list[Event] = [WorkerReady(worker, self._clock()) for worker in self._starting]
        self._starting.clear()
        if not events and self._jobs:
            worker = next(iter(self._jobs))
            report = run_attempt(self._evaluator, self._jobs.pop(worker), self._spool)
            events.append(AttemptEnded(worker, report, self._clock()))
        return events

    def close(self) -> None:
        """Remove all queued jobs."""
        self._jobs.clear()
        self._starting.clear()
