"""The campaign as a pure state machine: events in, actions out. No clock, no I/O, no Ray."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from orchestrator.campaign.actions import Action, Dispatch, Finish, Kill, SaveReport, Spawn
from orchestrator.campaign.events import (
    AttemptEnded,
    Drain,
    Event,
    RoomChanged,
    Stop,
    Tick,
    WorkerLost,
    WorkerReady,
)
from orchestrator.campaign.failure import INFRASTRUCTURE, FailureHistory, FailurePolicy, GiveUp, Retry
from orchestrator.campaign.progress import CampaignProgress, CampaignState, WorkerTime, utilisation
from orchestrator.campaign.scaling import Grow, Hold, Pool, ScalingPolicy, Shrink
from orchestrator.campaign.time_limit import TimeLimits
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Outcome

# A fault in the set-up (a missing module, say) kills every newborn: so many births in a row a worker.
_FAILED_BIRTHS = 3


@dataclass(frozen=True, slots=True)
class _Flight:
    key: str  # kept, since computing it hashes the recipe
    job: LabelJob
    since: float
    node: str


class CampaignController:
    """Decides who runs what. Requests with the same key are run once.

    Memory holds the open requests and the workers, and of ended requests only counts.
    """

    def __init__(
        self,
        requests: Iterable[LabelRequest],
        campaign: str,
        scaling: ScalingPolicy,
        failures: FailurePolicy | None = None,
        limits: TimeLimits | None = None,
    ) -> None:
        self._todo = {request.key: LabelJob(request, campaign) for request in requests}
        self._scaling = scaling
        self._room: int | None = None
        self._failures = failures or FailurePolicy()
        self._limits = limits or TimeLimits()
        self._state = CampaignState.RUNNING
        self._now = 0.0
        self._next_worker = 0
        self._starting: dict[int, None] = {}
        self._idle: dict[int, str] = {}  # worker -> node
        self._flights: dict[int, _Flight] = {}
        self._abandoned: dict[int, tuple[str, bool]] = {}  # killed at work -> key, and whether that was given up
        self._infrastructure: Counter[str] = Counter()  # architecture -> failures since a success
        self._failed_births = 0
        self._problem: str | None = None
        self._done = 0
        self._failed = 0
        self._outcomes: Counter[Outcome] = Counter()
        self._times: dict[int, WorkerTime] = {}
        self._actions: list[Action] = []

    @property
    def state(self) -> CampaignState:
        """Where the campaign stands."""
        return self._state

    @property
    def times(self) -> Mapping[int, WorkerTime]:
        """Time of every worker that was ever ready."""
        return self._times

    @property
    def progress(self) -> CampaignProgress:
        """Counts as of the last event."""
        return CampaignProgress(
            state=self._state,
            todo=len(self._todo),
            in_flight=len(self._flights),
            done=self._done,
            failed=self._failed,
            starting=len(self._starting),
            idle=len(self._idle),
            outcomes=dict(self._outcomes),
            utilisation=utilisation(self._times, self._now),
            problem=self._problem,
        )

    def handle(self, event: Event) -> list[Action]:
        """Take one event and return what follows, in order."""
        if self._state is CampaignState.FINISHED:
            return []
        self._actions = []
        if not isinstance(event, Drain | Stop):
            self._now = max(self._now, event.now)
        match event:
            case Tick():
                self._tick()
            case WorkerReady(worker, _, node):
                self._ready(worker, node)
            case AttemptEnded(worker, report):
                self._ended(worker, report)
            case WorkerLost():
                self._lost(event)
            case RoomChanged(workers):
                self._room = workers
            case Drain():
                if self._state is CampaignState.RUNNING:
                    self._state = CampaignState.DRAINING
            case Stop():
                self._stop()
        if self._state in {CampaignState.RUNNING, CampaignState.DRAINING}:
            self._scale()  # first, so that a worker too many gets no further job
            self._dispatch()
            if not self._flights and (not self._todo or self._state is CampaignState.DRAINING):
                self._finish()
        return self._actions

    def _tick(self) -> None:
        if self._state is CampaignState.STOPPING:
            # One poll went by since the kill, so results that crossed it have been counted.
            self._finish()
            return
        limits = {worker: self._limits.of(flight.job) for worker, flight in self._flights.items()}
        for worker in [w for w, flight in self._flights.items() if self._now - flight.since >= limits[w]]:
            whose = "recipe's" if limits[worker] == self._flights[worker].job.request.recipe.time_limit_s else "usual"
            self._abort(worker, Outcome.TIMEOUT, f"no result within the {whose} time limit of {limits[worker]:.3g} s")

    def _ready(self, worker: int, node: str) -> None:
        if worker not in self._starting:
            return  # killed while it started
        del self._starting[worker]
        self._idle[worker] = node
        self._times[worker] = WorkerTime(self._now)
        self._failed_births = 0

    def _ended(self, worker: int, report: AttemptReport) -> None:
        flight = self._flights.pop(worker, None)
        if flight is None:
            self._ended_late(worker, report)
            return
        self._idle[worker] = flight.node
        self._times[worker].busy += report.seconds
        self._outcomes[report.outcome] += 1
        if report.outcome is Outcome.OK:
            self._succeeded(flight.key, report)
        else:
            self._failed_attempt(flight.key, report, recorded=True, worker=None)

    def _ended_late(self, worker: int, report: AttemptReport) -> None:
        """A killed worker's report. A success is a label like any other: take it and run its key no more."""
        if report.outcome is not Outcome.OK or worker not in self._abandoned:
            return
        key, given_up = self._abandoned.pop(worker)
        self._failed -= given_up
        self._todo.pop(key, None)
        self._outcomes[Outcome.OK] += 1
        self._succeeded(key, report)
        # The spool has one place an attempt, and the record of the kill may have taken it.
        self._actions.append(SaveReport(report))
        for other, flight in list(self._flights.items()):
            if flight.key == key:
                self._remove(other)
                self._actions.append(Kill(other))
                self._record(flight, Outcome.STOPPED, "an earlier attempt at the same label came in late")

    def _lost(self, event: WorkerLost) -> None:
        if event.worker in self._starting:
            del self._starting[event.worker]
            self._failed_births += 1
            if self._failed_births >= _FAILED_BIRTHS * (self._workers + 1):
                self._problem = f"{self._failed_births} workers in a row died before they were ready: {event.message}"
                self._stop()
            return
        flight = self._remove(event.worker)
        if flight is not None:
            report = self._report(flight, event.outcome, event.message, event.node or flight.node)
            self._outcomes[event.outcome] += 1
            self._failed_attempt(flight.key, report, recorded=False, worker=event.worker)

    def _succeeded(self, key: str, report: AttemptReport) -> None:
        self._done += 1
        self._limits.learn(report.job, report.seconds)
        self._infrastructure.pop(report.job.request.architecture.id, None)
        for worker in [worker for worker, (other, _) in self._abandoned.items() if other == key]:
            del self._abandoned[worker]

    def _failed_attempt(self, key: str, report: AttemptReport, *, recorded: bool, worker: int | None) -> None:
        """Apply the failure policy. `worker` is given where the attempt may yet succeed behind our back."""
        architecture = report.job.request.architecture.id
        if report.outcome in INFRASTRUCTURE:
            self._infrastructure[architecture] += 1
        decision = self._failures.decide(report, FailureHistory(self._infrastructure[architecture]))
        if not self._infrastructure[architecture]:
            del self._infrastructure[architecture]
        given_up = isinstance(decision, GiveUp)
        if isinstance(decision, GiveUp):
            self._failed += 1
            if decision.final != report.final:
                report, recorded = replace(report, message=decision.reason, final=decision.final), False
        else:
            split = decision.split if isinstance(decision, Retry) else report.job.split
            # To the back: a job that kills workers must not hold up those that do not.
            self._todo[key] = replace(report.job, attempt=report.job.attempt + 1, split=split)
        if worker is not None:
            self._abandoned[worker] = (key, given_up)
        if not recorded:
            self._actions.append(SaveReport(report))

    def _abort(self, worker: int, outcome: Outcome, message: str) -> None:
        """Kill a worker at work and treat its attempt as failed."""
        flight = self._remove(worker)
        assert flight is not None
        self._actions.append(Kill(worker))
        self._outcomes[outcome] += 1
        report = self._report(flight, outcome, message, flight.node)
        self._failed_attempt(flight.key, report, recorded=False, worker=worker)

    def _stop(self) -> None:
        if self._state is CampaignState.STOPPING:
            return
        self._state = CampaignState.STOPPING
        for worker, flight in list(self._flights.items()):
            self._remove(worker)
            self._actions.append(Kill(worker))
            self._record(flight, Outcome.STOPPED, self._problem or "the campaign was stopped")
            self._todo[flight.key] = replace(flight.job, attempt=flight.job.attempt + 1)
            self._abandoned[worker] = (flight.key, False)
        self._kill_spare(len(self._starting) + len(self._idle))

    def _finish(self) -> None:
        self._kill_spare(len(self._starting) + len(self._idle))
        self._state = CampaignState.FINISHED
        self._actions.append(Finish())

    def _dispatch(self) -> None:
        while self._state is CampaignState.RUNNING and self._idle and self._todo:
            worker = next(iter(self._idle))
            key = next(iter(self._todo))
            job = self._todo.pop(key)
            self._flights[worker] = _Flight(key, job, self._now, self._idle.pop(worker))
            self._actions.append(Dispatch(worker, job))

    def _scale(self) -> None:
        remaining = len(self._flights) + (len(self._todo) if self._state is CampaignState.RUNNING else 0)
        match self._scaling.decide(Pool(self._workers, remaining, self._room)):
            case Grow(count):
                for _ in range(count):
                    self._starting[self._next_worker] = None
                    self._actions.append(Spawn(self._next_worker))
                    self._next_worker += 1
            case Shrink(count):
                self._kill_spare(count)
            case Hold():
                pass

    @property
    def _workers(self) -> int:
        return len(self._starting) + len(self._idle) + len(self._flights)

    def _kill_spare(self, count: int) -> None:
        """Kill up to `count` workers that have no job: those still starting first, of them the last, which may wait."""
        for worker in [*reversed(self._starting), *self._idle][:count]:
            self._starting.pop(worker, None)
            self._remove(worker)
            self._actions.append(Kill(worker))

    def _remove(self, worker: int) -> _Flight | None:
        """Forget a worker that was ready; its flight, if it had one."""
        known = worker in self._idle or worker in self._flights
        self._idle.pop(worker, None)
        flight = self._flights.pop(worker, None)
        if known:
            self._times[worker].gone = self._now
        return flight

    def _record(self, flight: _Flight, outcome: Outcome, message: str) -> None:
        self._outcomes[outcome] += 1
        self._actions.append(SaveReport(self._report(flight, outcome, message, flight.node)))

    def _report(self, flight: _Flight, outcome: Outcome, message: str, node: str) -> AttemptReport:
        return AttemptReport(flight.job, outcome, message, node, flight.since, max(0.0, self._now - flight.since))
