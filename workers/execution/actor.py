"""A thin shell that makes `run_attempt` a Ray actor: the one file of this room that knows Ray."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import Any

from workers.errors import NodeError
from workers.execution.attempt import run_attempt
from workers.execution.attempt_log import attempt, log_end, name_attempts
from workers.execution.evaluators import build_evaluator
from workers.execution.node_check import NodeNeeds, check_node
from workers.execution.threads import compute_on
from workers.messages.label import AttemptReport, LabelJob
from workers.storage.spool import open_spool


@dataclass(frozen=True, slots=True)
class WorkerLocation:
    """Where a worker runs."""

    node: str
    pid: int


@dataclass(frozen=True, slots=True)
class NodeRejected:
    """Why a worker cannot run where it was started. node_id: Ray's."""

    node: str
    node_id: str
    message: str


class LabelActor:
    """Makes labels one at a time. Holds no state but its evaluator's caches."""

    def __init__(self, task: str, space: str) -> None:
        self._task = task
        self._space = space
        self._phases: Any = None

    def __repr__(self) -> str:
        return f"LabelActor({self._task}, {self._space})"

    def prepare(
        self, needs: NodeNeeds, evaluator: str, arguments: dict[str, Any], spool: str, cpus: float
    ) -> WorkerLocation | NodeRejected:
        """Answers once the evaluator is built."""
        name_attempts()
        try:
            check_node(needs)
        except NodeError as error:
            return NodeRejected(platform.node(), _node_id(), str(error))
        self._evaluator = build_evaluator(evaluator, arguments)
        self._spool = open_spool(spool)
        compute_on(cpus)
        return WorkerLocation(platform.node(), os.getpid())

    def run(self, job: LabelJob) -> AttemptReport:
        """Make one attempt, and publish the seconds of its phases as ray_orchestrator_phase_seconds."""
        with attempt(job):
            report = run_attempt(self._evaluator, job, self._spool)
            log_end(report)
        if report.measurement is not None:
            self._phases = self._phases or _phase_seconds(self._task, self._space)
            for phase, seconds in report.measurement.seconds.items():
                self._phases.observe(seconds, {"phase": phase})
        return report


def _node_id() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def _phase_seconds(task: str, space: str) -> Any:
    from ray.util.metrics import Histogram

    bounds = [0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600]
    phases = Histogram("orchestrator_phase_seconds", "Seconds a phase of a label.", bounds, ("task", "space", "phase"))
    phases.set_default_tags({"task": task, "space": space})
    return phases
