"""Make labels on Ray actors, with one call per actor at a time. The controller restarts and retries, not Ray."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, NodeDiedError, OutOfMemoryError, RayError

from orchestrator.campaign.clock import steady_time
from orchestrator.campaign.events import AttemptEnded, CapacityChanged, Event, Heartbeat, WorkerLost, WorkerReady
from orchestrator.campaign.kept_actors import KeptActors
from orchestrator.ray_runtime.resources import actors_that_fit, node_resources
from workers.execution.actor import LabelActor, NodeRejected, WorkerLocation
from workers.execution.node_check import NodeNeeds
from workers.messages.evaluator_options import EvaluatorOptions
from workers.messages.label import LabelJob, Outcome
from workers.pulse import Pulse

# Campaigns of one process share Ray's namespace, and the name of a killed actor stays in use for a while.
_numbers = itertools.count()
_CAPACITY_POLL_S = 5.0
_PULSE_POLL_S = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ActorSpec:
    """The settings of every actor of a pool.

    evaluator: importable factory, "package.module:callable", called with `options`. resources: reserved for each actor,
    by Ray's names (CPU, GPU, memory in bytes).
    """

    task: str
    space: str
    evaluator: str
    spool: str
    resources: Mapping[str, float] = field(default_factory=lambda: {"CPU": 1.0})
    options: EvaluatorOptions = field(default_factory=EvaluatorOptions)
    needs: NodeNeeds = field(default_factory=NodeNeeds)


def outcome_of(error: Exception) -> Outcome:
    """Return how a worker was lost, from the exception that Ray raised for its call."""
    text = str(error)
    if isinstance(error, OutOfMemoryError) or "running low on memory" in text:
        return Outcome.HOST_OUT_OF_MEMORY
    if isinstance(error, NodeDiedError | ActorUnavailableError) or "node has died" in text or "node died" in text:
        return Outcome.LOST_NODE
    return Outcome.CRASH


def _message(error: Exception, outcome: Outcome, node: str) -> str:
    if outcome is Outcome.HOST_OUT_OF_MEMORY:  # Ray's text is long, and its advice is about Ray's own options
        return (
            f"node {node or 'unknown'} ran low on memory, so Ray stopped this worker: start fewer with --workers, or "
            "reserve memory for each with --set memory_mb=N"
        )
    return " ".join(str(error).split())[:2000]


class RayExecutor:
    """Runs actors named label-TASK-SPACE-N. Ray must be initialised."""

    def __init__(
        self, spec: ActorSpec, clock: Callable[[], float] = steady_time, kept: KeptActors | None = None
    ) -> None:
        """kept: where actors come from first, and stay afterwards; without it all are killed."""
        self._kept = kept
        self._spec, self._cpus = spec, spec.resources.get("CPU", 0.0)
        self._clock = clock
        remote: Any = ray.remote  # its types do not know the option
        self._class = remote(concurrency_groups={"pulse": 1})(LabelActor)  # it answers while it makes a label
        self._actors: dict[int, Any] = {}
        self._startups: dict[Any, int] = {}
        self._calls: dict[Any, int] = {}
        self._locations: dict[int, WorkerLocation] = {}
        self._rejected_nodes: set[str] = set()  # ids of nodes where workers cannot run
        self._capacity, self._last_capacity_poll = -1, float("-inf")
        self._pulses: dict[Any, int] = {}  # calls that ask for a sign of life
        self._last_pulses = time.monotonic()
        self._late_events: list[Event] = []  # results that were available when their worker was killed

    @property
    def locations(self) -> dict[int, WorkerLocation]:
        """Node and process of each ready worker."""
        return dict(self._locations)

    def spawn(self, worker: int) -> None:
        """Take an actor that was kept, or ask Ray for one; it may wait for free resources."""
        spec = self._spec
        kept = self._kept.take(spec) if self._kept is not None else None
        if kept is not None:
            self._actors[worker], self._startups[kept.where.remote()] = kept, worker
            return
        actor: Any = self._class.options(
            name=f"label-{spec.task}-{spec.space}-{next(_numbers)}",
            num_cpus=self._cpus,
            num_gpus=spec.resources.get("GPU", 0.0),
            memory=int(spec.resources.get("memory", 0)) or None,
            max_restarts=0,
            max_task_retries=0,
            label_selector=self._node_selector(),
        ).remote(spec.task, spec.space)
        self._actors[worker] = actor
        startup = actor.prepare.remote(spec.needs, spec.evaluator, spec.options, spec.spool, self._cpus)
        self._startups[startup] = worker

    def dispatch(self, worker: int, job: LabelJob) -> None:
        """Call the actor; it has no other running call."""
        if worker in self._actors:
            self._calls[self._actors[worker].run.remote(job)] = worker

    def kill(self, worker: int) -> None:
        """End the actor's process, or keep it if it has no job. To end it takes Ray up to two seconds."""
        if self._kept is not None and worker in self._locations and worker not in self._calls.values():
            self._kept.keep(self._spec, self._actors[worker])
            self._forget(worker)
            return
        for ref in [ref for ref, owner in self._calls.items() if owner == worker]:
            if ray.wait([ref], timeout=0)[0]:
                event = self._resolve(ref)
                # The death of a killed worker is not reported, only its result.
                self._late_events += [event] if isinstance(event, AttemptEnded) else []
            self._calls.pop(ref, None)
        self._discard(worker)

    def poll(self, timeout: float) -> list[Event]:
        """Wait for the first result, then return all that are available."""
        events, self._late_events = [*self._late_events, *self._capacity_events(), *self._heartbeats()], []
        refs = [*self._calls, *self._startups]
        if refs:
            ray.wait(refs, num_returns=1, timeout=0 if events else timeout)
            ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
            events += [self._resolve(ref) for ref in ready]
        elif not events:
            time.sleep(timeout)
        return events

    def close(self) -> None:
        """Kill all actors that are left."""
        for worker in list(self._actors):
            self._discard(worker)
        self._calls.clear()

    def _resolve(self, ref: Any) -> Event:
        """Return the event of a reference that is ready."""
        is_startup = ref in self._startups
        worker = self._startups.pop(ref) if is_startup else self._calls.pop(ref)
        try:
            value = ray.get(ref)
        # An actor that raises, for example because the disk of its spool is full, counts as lost like a dead one.
        except RayError as error:
            location = self._locations.get(worker)
            self._discard(worker)
            node, outcome = location.node if location else "", outcome_of(error)
            return WorkerLost(worker, outcome, _message(error, outcome, node), node, self._clock())
        if isinstance(value, NodeRejected):
            self._discard(worker)
            self._exclude(value)
            return WorkerLost(worker, Outcome.CRASH, value.message, value.node, self._clock())
        if is_startup:
            self._locations[worker] = value
            return WorkerReady(worker, self._clock(), value.node, value.card)
        return AttemptEnded(worker, value, self._clock())

    def _heartbeats(self) -> list[Event]:
        """Return the signs of life that arrived, and ask working actors for the next ones every few seconds."""
        events: list[Event] = []
        if self._pulses:
            ready, _ = ray.wait([*self._pulses], num_returns=len(self._pulses), timeout=0)
            for ref in ready:
                worker = self._pulses.pop(ref)
                try:
                    pulse: Pulse = ray.get(ref)
                except RayError:  # its call of `run` returns the reason
                    continue
                now = self._clock()
                events.append(Heartbeat(worker, pulse.attempt, now - pulse.age_s, pulse.step, pulse.saved, now))
        if time.monotonic() - self._last_pulses >= _PULSE_POLL_S:
            self._last_pulses = time.monotonic()
            asked = set(self._pulses.values())
            for worker in set(self._calls.values()) - asked:
                actor = self._actors[worker]
                self._pulses[actor.pulse.options(concurrency_group="pulse").remote()] = worker
        return events

    def _capacity_events(self) -> list[Event]:
        """Return a CapacityChanged event if the capacity has changed; checked every few seconds."""
        now = time.monotonic()
        if now - self._last_capacity_poll < _CAPACITY_POLL_S:
            return []
        self._last_capacity_poll = now
        fit = [resources for node, resources in node_resources().items() if node not in self._rejected_nodes]
        before, self._capacity = self._capacity, actors_that_fit(self._spec.resources, fit)
        return [CapacityChanged(self._capacity, self._clock())] if self._capacity != before else []

    def _node_selector(self) -> dict[str, str] | None:
        """Ray's label selector that excludes the rejected nodes."""
        excluded = ",".join(sorted(self._rejected_nodes))
        return {"ray.io/node-id": f"!in({excluded})"} if excluded else None

    def _exclude(self, rejected: NodeRejected) -> None:
        """Start no more workers on a node, unless it is the last: then the controller stops after repeated failures."""
        node_id, excluded = rejected.node_id, self._rejected_nodes
        if node_id not in excluded and node_resources().keys() > {*excluded, node_id}:
            log.warning("continuing without this node: %s", rejected.message)
            excluded.add(node_id)
            self._last_capacity_poll = float("-inf")

    def _discard(self, worker: int) -> None:
        actor = self._forget(worker)
        if actor is not None:
            ray.kill(actor, no_restart=True)

    def _forget(self, worker: int) -> Any | None:
        """Return the actor of a worker, which is none from now on."""
        self._locations.pop(worker, None)
        for ref in [ref for ref, owner in self._startups.items() if owner == worker]:
            del self._startups[ref]
        for ref in [ref for ref, owner in self._pulses.items() if owner == worker]:
            del self._pulses[ref]
        return self._actors.pop(worker, None)
