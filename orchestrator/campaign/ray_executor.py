"""Runs labels on Ray actors, one call in flight each. Ray restarts and retries nothing: the controller does."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, NodeDiedError, OutOfMemoryError, RayError

from orchestrator.campaign.events import AttemptEnded, Event, RoomChanged, WorkerLost, WorkerReady
from orchestrator.ray_runtime.session import actors_that_fit, node_resources
from workers.execution.actor import LabelActor, NodeRejected, WorkerLocation
from workers.execution.node_check import NodeNeeds
from workers.messages.label import LabelJob, Outcome

# Two campaigns of one process share Ray's namespace, where the name of an actor just killed is still taken.
_numbers = itertools.count()
_ROOM_EVERY_S = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ActorSpec:
    """What every actor of a pool is made from. `evaluator` is the importable factory, "package.module:callable".

    resources: what it reserves, as Ray names it (CPU, GPU, memory in bytes).
    """

    task: str
    space: str
    evaluator: str
    spool: str
    resources: Mapping[str, float] = field(default_factory=lambda: {"CPU": 1.0})
    arguments: Mapping[str, Any] = field(default_factory=dict)
    needs: NodeNeeds = field(default_factory=NodeNeeds)


def outcome_of(error: Exception) -> Outcome:
    """How a worker was lost, from what Ray raised for its call."""
    text = str(error)
    if isinstance(error, OutOfMemoryError) or "running low on memory" in text:
        return Outcome.OUT_OF_MEMORY
    if isinstance(error, NodeDiedError | ActorUnavailableError) or "node has died" in text or "node died" in text:
        return Outcome.LOST_NODE
    return Outcome.CRASH


class RayExecutor:
    """Actors named label-TASK-SPACE-N. Needs `ray.init` to have been called."""

    def __init__(self, spec: ActorSpec, clock: Callable[[], float] = time.time) -> None:
        self._spec, self._cpus = spec, spec.resources.get("CPU", 0.0)
        self._clock = clock
        self._class = ray.remote(LabelActor)
        self._actors: dict[int, Any] = {}
        self._births: dict[Any, int] = {}
        self._calls: dict[Any, int] = {}
        self._places: dict[int, WorkerLocation] = {}
        self._unfit: set[str] = set()  # ids of nodes where workers cannot be born
        self._room, self._looked = -1, float("-inf")
        self._crossed: list[Event] = []  # results that were there when their worker was killed

    @property
    def places(self) -> dict[int, WorkerLocation]:
        """Node and process of each ready worker."""
        return dict(self._places)

    def spawn(self, worker: int) -> None:
        """Ask Ray for an actor; it may wait for free resources."""
        spec = self._spec
        actor: Any = self._class.options(
            name=f"label-{spec.task}-{spec.space}-{next(_numbers)}",
            num_cpus=self._cpus,
            num_gpus=spec.resources.get("GPU", 0.0),
            memory=int(spec.resources.get("memory", 0)) or None,
            max_restarts=0,
            max_task_retries=0,
            label_selector={"ray.io/node-id": f"!in({','.join(sorted(self._unfit))})"} if self._unfit else None,
        ).remote(spec.task, spec.space)
        self._actors[worker] = actor
        birth = actor.prepare.remote(spec.needs, spec.evaluator, dict(spec.arguments), spec.spool, self._cpus)
        self._births[birth] = worker

    def dispatch(self, worker: int, job: LabelJob) -> None:
        """Call the actor; it has no other call in flight."""
        if worker in self._actors:
            self._calls[self._actors[worker].run.remote(job)] = worker

    def kill(self, worker: int) -> None:
        """End the actor's process; takes Ray up to two seconds."""
        for ref in [ref for ref, owner in self._calls.items() if owner == worker]:
            if ray.wait([ref], timeout=0)[0]:
                event = self._resolve(ref)
                # Its death is no news to who kills it.
                self._crossed += [event] if isinstance(event, AttemptEnded) else []
            self._calls.pop(ref, None)
        self._discard(worker)

    def poll(self, timeout: float) -> list[Event]:
        """Wait for the first result, then take all that are there."""
        events, self._crossed = [*self._crossed, *self._room_changed()], []
        refs = [*self._calls, *self._births]
        if refs:
            ray.wait(refs, num_returns=1, timeout=0 if events else timeout)
            ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
            events += [self._resolve(ref) for ref in ready]
        elif not events:
            time.sleep(timeout)
        return events

    def close(self) -> None:
        """Kill all actors."""
        for worker in list(self._actors):
            self._discard(worker)
        self._calls.clear()

    def _resolve(self, ref: Any) -> Event:
        """The event behind a reference that is ready."""
        born = ref in self._births
        worker = self._births.pop(ref) if born else self._calls.pop(ref)
        try:
            value = ray.get(ref)
        # An actor that raises (its spool's disk is full, say) is as lost as one that died.
        except RayError as error:
            place = self._places.get(worker)
            self._discard(worker)
            message = " ".join(str(error).split())[:2000]
            return WorkerLost(worker, outcome_of(error), message, place.node if place else "", self._clock())
        if isinstance(value, NodeRejected):
            self._discard(worker)
            self._avoid(value)
            return WorkerLost(worker, Outcome.CRASH, value.message, value.node, self._clock())
        if born:
            self._places[worker] = value
            return WorkerReady(worker, self._clock(), value.node)
        return AttemptEnded(worker, value, self._clock())

    def _room_changed(self) -> list[Event]:
        """News of the cluster's room, looked for every few seconds."""
        now = time.monotonic()
        if now - self._looked < _ROOM_EVERY_S:
            return []
        self._looked = now
        fit = [resources for node, resources in node_resources().items() if node not in self._unfit]
        before, self._room = self._room, actors_that_fit(self._spec.resources, fit)
        return [RoomChanged(self._room, self._clock())] if self._room != before else []

    def _avoid(self, unfit: NodeRejected) -> None:
        """Start no more workers on a node, unless there is no other: then the controller shall see them fail."""
        if unfit.node_id not in self._unfit and node_resources().keys() > {*self._unfit, unfit.node_id}:
            log.warning("going on without this node: %s", unfit.message)
            self._unfit.add(unfit.node_id)
            self._looked = float("-inf")

    def _discard(self, worker: int) -> None:
        self._places.pop(worker, None)
        for ref in [ref for ref, owner in self._births.items() if owner == worker]:
            del self._births[ref]
        actor = self._actors.pop(worker, None)
        if actor is not None:
            ray.kill(actor, no_restart=True)
