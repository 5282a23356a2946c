"""The campaign as a pure state machine: events in, actions out. No clock, no I/O, no Ray."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from orchestrator.campaign.actions import Action, Dispatch, Finish, Kill, SaveReport, Spawn
from orchestrator.campaign.events import (
    AttemptEnded,
    CapacityChanged,
    Drain,
    Event,
    Heartbeat,
    LabelsStored,
    Stop,
    Tick,
    WorkerLost,
    WorkerReady,
)
from orchestrator.campaign.failure import INFRASTRUCTURE, FailureHistory, FailurePolicy, GiveUp, Retry
from orchestrator.campaign.progress import CampaignProgress, CampaignState, WorkerTime, utilisation
from orchestrator.campaign.scaling import Grow, Hold, Pool, ScalingPolicy, Shrink
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Outcome

# A fault in the set-up (a missing module, for example) kills every new worker.
_MAX_FAILED_STARTS = 3  # in a row, per worker of the pool


@dataclass(frozen=True, slots=True)
class _RunningAttempt:
    key: str  # stored, because computing it hashes the recipe
    job: LabelJob
    since: float
    node: str
    last: float  # when it last gave a sign of life
    saved: int = 0  # step of its last checkpoint


class CampaignController:
    """Assigns jobs to workers, and handles failures and scaling. Requests with the same key are run once.

    It keeps the open requests and the workers in memory, and only counts of ended requests.
    """

    def __init__(
        self,
        requests: Iterable[LabelRequest],
        campaign: str,
        scaling: ScalingPolicy,
        failures: FailurePolicy | None = None,
    ) -> None:
        self._campaign = campaign
        self._todo = {request.key: LabelJob(request, campaign) for request in requests}
        self._scaling = scaling
        self._capacity: int | None = None
        self._failures = failures or FailurePolicy()
        self._state = CampaignState.RUNNING
        self._now = 0.0
        self._next_worker = 0
        self._starting: dict[int, None] = {}
        self._idle: dict[int, str] = {}  # worker -> node
        self._cards: dict[int, str] = {}  # worker -> name of its GPU
        self._saved: dict[str, int] = {}  # key -> step of the last checkpoint that an ended attempt wrote
        self._splits: dict[tuple[str, str], int] = {}  # recipe and card -> parts of a batch that fit into its memory
        self._running: dict[int, _RunningAttempt] = {}
        self._abandoned: dict[int, tuple[str, bool]] = {}  # killed while working -> key, whether the key was given up
        self._stored_meanwhile: set[str] = set()  # keys whose label was stored by others while an attempt ran
        self._shuffled = False
        self._infrastructure: Counter[str] = Counter()  # architecture -> failures since a success
        self._failed_starts = 0
        self._problem: str | None = None
        self._interrupted = False
        self._done = 0
        self._failed = 0
        self._outcomes: Counter[Outcome] = Counter()
        self._times: dict[int, WorkerTime] = {}
        self._actions: list[Action] = []

    @property
    def state(self) -> CampaignState:
        """The phase of the campaign."""
        return self._state

    @property
    def times(self) -> Mapping[int, WorkerTime]:
        """Times of every worker that became ready."""
        return self._times

    @property
    def progress(self) -> CampaignProgress:
        """Counts after the last event."""
        return CampaignProgress(
            state=self._state,
            todo=len(self._todo),
            in_flight=len(self._running),
            done=self._done,
            failed=self._failed,
            starting=len(self._starting),
            idle=len(self._idle),
            outcomes=dict(self._outcomes),
            utilisation=utilisation(self._times, self._now),
            problem=self._problem,
            interrupted=self._interrupted,
        )

    @property
    def waiting(self) -> list[str]:
        """Keys that wait for a worker. May be read by another thread."""
        return list(self._todo)

    @property
    def repeated(self) -> list[str]:
        """Keys that wait for a worker after an attempt that failed. May be read by another thread."""
        return [key for key, job in list(self._todo.items()) if job.attempt > 1]

    def handle(self, event: Event) -> list[Action]:
        """Handle one event and return the actions to carry out, in order."""
        if self._state is CampaignState.FINISHED:
            return []
        self._actions = []
        if not isinstance(event, Drain | Stop):
            self._now = max(self._now, event.now)
        match event:
            case Tick():
                self._tick()
            case WorkerReady(worker, _, node, card):
                self._ready(worker, node, card)
            case Heartbeat():
                self._beat(event)
            case AttemptEnded(worker, report):
                self._ended(worker, report)
            case WorkerLost():
                self._lost(event)
            case CapacityChanged(workers):
                self._capacity = workers
            case LabelsStored(keys):
                self._stored(keys)
            case Drain():
                self._interrupted = True
                if self._state is CampaignState.RUNNING:
                    self._state = CampaignState.DRAINING
            case Stop():
                self._stop()
        if self._state in {CampaignState.RUNNING, CampaignState.DRAINING}:
            self._scale()  # first, so that a surplus worker gets no job
            self._dispatch()
            if not self._running and (not self._todo or self._state is CampaignState.DRAINING):
                self._finish()
        return self._actions

    def _tick(self) -> None:
        if self._state is CampaignState.STOPPING:
            # The executor was polled once since the kill, so results that were available then have been counted.
            self._finish()
            return
        for worker, attempt in list(self._running.items()):
            recipe = attempt.job.request.recipe
            if self._now - attempt.since >= recipe.time_limit_s:
                message = f"no result within the recipe's time limit of {recipe.time_limit_s:.3g} s"
            elif self._now - attempt.last >= recipe.silence_s:
                message = f"no sign of life for {recipe.silence_s:.3g} s: the worker hangs, or its node is disconnected"
            else:
                continue
            self._abort(worker, Outcome.TIMEOUT, message)

    def _beat(self, event: Heartbeat) -> None:
        attempt = self._running.get(event.worker)
        if attempt is not None and attempt.job.attempt_id == event.attempt:
            last, saved = max(attempt.last, event.last), max(attempt.saved, event.saved)
            self._running[event.worker] = replace(attempt, last=last, saved=saved)

    def _ready(self, worker: int, node: str, card: str) -> None:
        if worker not in self._starting:
            return  # killed while it started
        del self._starting[worker]
        self._idle[worker], self._cards[worker] = node, card
        self._times[worker] = WorkerTime(self._now)
        self._failed_starts = 0

    def _ended(self, worker: int, report: AttemptReport) -> None:
        attempt = self._running.pop(worker, None)
        if attempt is None:
            self._ended_late(worker, report)
            return
        self._idle[worker] = attempt.node
        self._times[worker].busy += report.seconds
        self._outcomes[report.outcome] += 1
        if report.outcome is Outcome.OK:
            self._remember_split(worker, report.job)
            self._succeeded(attempt.key, report)
        else:
            self._failed_attempt(attempt, report, recorded=report.final, worker=None)

    def _remember_split(self, worker: int, job: LabelJob) -> None:
        """Let the next networks of this recipe start on such a card with the parts that fit.

        A network that fits in no way changes nothing for the others.
        """
        place = job.request.recipe.hash, self._cards.get(worker, "")
        if job.split > self._splits.get(place, 1):
            self._splits[place] = job.split

    def _ended_late(self, worker: int, report: AttemptReport) -> None:
        """Handle the report of a killed worker. A success is a valid label: count it and do not run its key again."""
        if report.outcome is not Outcome.OK or worker not in self._abandoned:
            return
        key, given_up = self._abandoned.pop(worker)
        self._failed -= given_up
        self._todo.pop(key, None)
        self._outcomes[Outcome.OK] += 1
        self._succeeded(key, report)
        # The spool keeps one report per attempt, and that may now be the record of the kill.
        self._actions.append(SaveReport(report))
        for other, attempt in list(self._running.items()):
            if attempt.key == key:
                self._remove(other)
                self._actions.append(Kill(other))
                self._record(attempt, Outcome.STOPPED, "an earlier attempt at the same label came in late")

    def _stored(self, keys: Iterable[str]) -> None:
        """Do not make labels that are in the store. Attempts that run are not killed: a new worker costs more."""
        by_others = False
        for key in keys:
            late = [worker for worker, (other, _) in self._abandoned.items() if other == key]
            given_up = any(self._abandoned[worker][1] for worker in late)
            job = self._todo.pop(key, None)
            by_others |= job is not None and job.attempt == 1
            if job is not None or given_up:
                self._failed -= given_up
                self._done += 1
                self._saved.pop(key, None)
                for worker in late:
                    del self._abandoned[worker]
            elif any(attempt.key == key for attempt in self._running.values()):
                self._stored_meanwhile.add(key)
        if by_others and not self._shuffled:
            self._shuffle()

    def _shuffle(self) -> None:
        """Make the labels that are left in an order of this campaign's, because another one makes them in the same."""
        self._shuffled = True
        keys = sorted(self._todo)
        random.Random(self._campaign).shuffle(keys)
        self._todo = {key: self._todo[key] for key in keys}

    def _lost(self, event: WorkerLost) -> None:
        if event.worker in self._starting:
            del self._starting[event.worker]
            self._failed_starts += 1
            if self._failed_starts >= _MAX_FAILED_STARTS * (self._workers + 1):
                self._problem = f"{self._failed_starts} workers in a row died before they were ready: {event.message}"
                self._stop()
            return
        attempt = self._remove(event.worker)
        if attempt is not None:
            report = self._report(attempt, event.outcome, event.message, event.node or attempt.node)
            self._outcomes[event.outcome] += 1
            self._failed_attempt(attempt, report, recorded=False, worker=event.worker)

    def _succeeded(self, key: str, report: AttemptReport) -> None:
        self._done += 1
        self._saved.pop(key, None)
        self._infrastructure.pop(report.job.request.architecture.id, None)
        for worker in [worker for worker, (other, _) in self._abandoned.items() if other == key]:
            del self._abandoned[worker]

    def _failed_attempt(
        self, attempt: _RunningAttempt, report: AttemptReport, *, recorded: bool, worker: int | None
    ) -> None:
        """Apply the failure policy.

        recorded: the worker has saved the report. worker: the worker if a late success of the attempt may still arrive.
        """
        key, architecture = attempt.key, report.job.request.architecture.id
        if key in self._stored_meanwhile:
            self._done += 1
            if not recorded:
                self._actions.append(SaveReport(report))
            return
        progressed = attempt.saved > self._saved.get(key, 0)
        self._saved[key] = max(attempt.saved, self._saved.get(key, 0))
        if report.outcome in INFRASTRUCTURE and not progressed:
            self._infrastructure[architecture] += 1
        decision = self._failures.decide(report, FailureHistory(self._infrastructure[architecture]))
        if not self._infrastructure[architecture]:
            del self._infrastructure[architecture]
        given_up = isinstance(decision, GiveUp)
        if isinstance(decision, GiveUp):
            self._failed += 1
            self._saved.pop(key, None)
            if decision.final != report.final:
                report, recorded = replace(report, message=decision.reason, final=decision.final), False
        else:
            split = decision.split if isinstance(decision, Retry) else report.job.split
            # At the end of the queue, so that a job that kills workers does not delay the other jobs.
            self._todo[key] = replace(report.job, attempt=report.job.attempt + 1, split=split)
        if worker is not None:
            self._abandoned[worker] = (key, given_up)
        if not recorded:
            self._actions.append(SaveReport(report))

    def _abort(self, worker: int, outcome: Outcome, message: str) -> None:
        """Kill a working worker and treat its attempt as failed."""
        attempt = self._remove(worker)
        assert attempt is not None
        self._actions.append(Kill(worker))
        self._outcomes[outcome] += 1
        report = self._report(attempt, outcome, message, attempt.node)
        self._failed_attempt(attempt, report, recorded=False, worker=worker)

    def _stop(self) -> None:
        if self._state is CampaignState.STOPPING:
            return
        self._state, self._interrupted = CampaignState.STOPPING, True
        for worker, attempt in list(self._running.items()):
            self._remove(worker)
            self._actions.append(Kill(worker))
            self._record(attempt, Outcome.STOPPED, self._problem or "the campaign was stopped")
            self._todo[attempt.key] = replace(attempt.job, attempt=attempt.job.attempt + 1)
            self._abandoned[worker] = (attempt.key, False)
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
            known = self._splits and self._splits.get((job.request.recipe.hash, self._cards[worker]), 1)
            if known and known > job.split:
                job = replace(job, split=known)
            self._running[worker] = _RunningAttempt(key, job, self._now, self._idle.pop(worker), self._now)
            self._actions.append(Dispatch(worker, job))

    def _scale(self) -> None:
        remaining = len(self._running) + (len(self._todo) if self._state is CampaignState.RUNNING else 0)
        match self._scaling.decide(Pool(self._workers, remaining, self._capacity)):
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
        return len(self._starting) + len(self._idle) + len(self._running)

    def _kill_spare(self, count: int) -> None:
        """Kill up to `count` workers without a job: first those that start, the newest first, then idle ones."""
        for worker in [*reversed(self._starting), *self._idle][:count]:
            self._starting.pop(worker, None)
            self._remove(worker)
            self._actions.append(Kill(worker))

    def _remove(self, worker: int) -> _RunningAttempt | None:
        """Remove a worker that was ready, and return its running attempt if there is one."""
        was_ready = worker in self._idle or worker in self._running
        self._idle.pop(worker, None)
        self._cards.pop(worker, None)
        attempt = self._running.pop(worker, None)
        if was_ready:
            self._times[worker].gone = self._now
        return attempt

    def _record(self, attempt: _RunningAttempt, outcome: Outcome, message: str) -> None:
        self._outcomes[outcome] += 1
        self._actions.append(SaveReport(self._report(attempt, outcome, message, attempt.node)))

    def _report(self, attempt: _RunningAttempt, outcome: Outcome, message: str, node: str) -> AttemptReport:
        return AttemptReport(attempt.job, outcome, message, node, attempt.since, max(0.0, self._now - attempt.since))
