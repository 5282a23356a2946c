"""A cluster in simulated time: thousands of jobs per second, with failures by a script."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.campaign.events import AttemptEnded, CapacityChanged, Event, Heartbeat, WorkerLost, WorkerReady
from workers.messages.label import AttemptReport, LabelJob, Measurement, Outcome


class SimulatedClock:
    """A clock that only the executor advances."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The simulated time."""
        return self.now


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The course of one attempt. CRASH and LOST_NODE end its worker.

    hang: the attempt never ends. beats: signs of life as (seconds after the start, step, step of the last checkpoint).
    late: if the worker is killed, its report still arrives this many seconds later.
    """

    seconds: float = 1.0
    outcome: Outcome = Outcome.OK
    hang: bool = False
    beats: tuple[tuple[float, int, int], ...] = ()
    late: float | None = None


Script = Callable[[LabelJob], Behaviour]


class SimulatedExecutor:
    """Runs attempts by a script. Workers are placed on the available nodes in turn.

    slots: number of workers per node, further ones wait for a free slot; None for any number, without CapacityChanged
    events.
    """

    def __init__(
        self,
        script: Script,
        clock: SimulatedClock,
        startup: float = 1.0,
        nodes: Sequence[str] = ("node0",),
        slots: int | None = None,
    ) -> None:
        self._script = script
        self._clock = clock
        self._startup = startup
        self._nodes = list(nodes)
        self._order = itertools.count()
        self._queue: list[tuple[float, int, int | None, Event]] = []  # due, order, worker that must still exist, event
        self._slots = slots
        self._changes: list[tuple[float, str, bool]] = []  # when, node, whether it joins
        self._waiting: dict[int, None] = {}
        self._placed: dict[int, str] = {}
        self._running: dict[int, LabelJob] = {}
        self.dispatched: list[LabelJob] = []
        self._announce_capacity(clock.now)

    def lose_node(self, at: float, node: str) -> None:
        """Let a node fail at a later time, with all workers on it."""
        heapq.heappush(self._changes, (at, node, False))

    def join_node(self, at: float, node: str) -> None:
        """Let a node join at a later time."""
        heapq.heappush(self._changes, (at, node, True))

    def spawn(self, worker: int) -> None:
        """Place a worker as soon as a slot is free; it is ready `startup` seconds later."""
        self._waiting[worker] = None
        self._place_waiting()

    def dispatch(self, worker: int, job: LabelJob) -> None:
        """Start the job; the script decides how it ends."""
        if worker not in self._placed:
            return
        self.dispatched.append(job)
        self._running[worker] = job
        behaviour = self._script(job)
        for after, step, saved in behaviour.beats:
            now = self._clock.now + after
            self._push(now, worker, Heartbeat(worker, job.attempt_id, now, step, saved, now))
        if not behaviour.hang:
            due = self._clock.now + behaviour.seconds
            self._push(due, worker, self._end(worker, job, behaviour, due))

    def kill(self, worker: int) -> None:
        """Remove the worker and its later events, unless the script lets its report arrive late."""
        self._waiting.pop(worker, None)
        self._placed.pop(worker, None)
        job = self._running.pop(worker, None)
        self._place_waiting()
        late = self._script(job).late if job else None
        if job and late is not None:
            due = self._clock.now + late
            self._push(due, None, self._end(worker, job, Behaviour(outcome=self._script(job).outcome), due))

    def poll(self, timeout: float) -> list[Event]:
        """Advance the clock to the next event, or by `timeout` if no event is due before."""
        until = self._clock.now + timeout
        while True:
            due = min([q[0][0] for q in (self._queue, self._changes) if q], default=until)
            self._clock.now = max(self._clock.now, min(due, until))
            if due > until or not (self._queue or self._changes):
                return []
            events = self._due()
            if events:
                return events

    def close(self) -> None:
        """Remove all workers."""
        self._waiting.clear()
        self._placed.clear()
        self._queue.clear()

    def _due(self) -> list[Event]:
        events: list[Event] = []
        now = self._clock.now
        while self._changes and self._changes[0][0] <= now:
            _, node, joins = heapq.heappop(self._changes)
            (self._nodes.append if joins else self._nodes.remove)(node)
            self._announce_capacity(now)
            self._place_waiting()
            if joins:
                continue
            for worker in [worker for worker, host in self._placed.items() if host == node]:
                self._forget(worker)
                events.append(WorkerLost(worker, Outcome.LOST_NODE, f"node {node} died", node, now))
        while self._queue and self._queue[0][0] <= now:
            _, _, owner, event = heapq.heappop(self._queue)
            if owner is not None and owner not in self._placed:
                continue
            if owner is not None and isinstance(event, AttemptEnded):
                self._running.pop(owner, None)
            elif isinstance(event, Heartbeat):
                running = self._running.get(event.worker)
                if running is None or running.attempt_id != event.attempt:
                    continue
            elif owner is not None and isinstance(event, WorkerLost):
                self._forget(owner)
            events.append(event)
        return events

    def _place_waiting(self) -> None:
        while self._waiting and (node := self._free_node(next(iter(self._waiting)))):
            worker = next(iter(self._waiting))
            del self._waiting[worker]
            self._placed[worker] = node
            due = self._clock.now + self._startup
            self._push(due, worker, WorkerReady(worker, due, node))

    def _free_node(self, worker: int) -> str | None:
        if self._slots is None:
            return self._nodes[worker % len(self._nodes)]
        used = Counter(self._placed.values())
        return next((node for node in self._nodes if used[node] < (self._slots or 0)), None)

    def _announce_capacity(self, now: float) -> None:
        if self._slots is not None:
            self._push(now, None, CapacityChanged(self._slots * len(self._nodes), now))

    def _push(self, due: float, worker: int | None, event: Event) -> None:
        heapq.heappush(self._queue, (due, next(self._order), worker, event))

    def _forget(self, worker: int) -> None:
        self._placed.pop(worker, None)
        self._running.pop(worker, None)
        self._place_waiting()

    def _end(self, worker: int, job: LabelJob, behaviour: Behaviour, now: float) -> Event:
        node, outcome = self._placed.get(worker, ""), behaviour.outcome
        if outcome in {Outcome.CRASH, Outcome.LOST_NODE}:
            return WorkerLost(worker, outcome, "as scripted", node, now)
        measured = Measurement(0.5, "simulated", {}, 1.0, 1.0, {}) if outcome is Outcome.OK else None
        final = outcome in {Outcome.BAD_DATA, Outcome.DIVERGED, Outcome.ERROR}
        started, message = now - behaviour.seconds, "" if measured else "as scripted"
        report = AttemptReport(job, outcome, message, node, started, behaviour.seconds, measured, final)
        return AttemptEnded(worker, report, now)
