"""A thin Ray actor around `run_attempt`."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from typing import Any

from workers import pulse
from workers.errors import NodeError
from workers.execution.attempt import run_attempt
from workers.execution.attempt_log import log_attempt, log_outcome, set_up_logging
from workers.execution.evaluators import build_evaluator
from workers.execution.latency_follow_up import LatencyFollowUp
from workers.execution.node_check import NodeNeeds, check_node
from workers.execution.threads import use_cores
from workers.execution.work_metrics import WorkMetrics
from workers.latency.settings import campaign_settings
from workers.messages.evaluator_options import EvaluatorOptions
from workers.messages.label import AttemptReport, LabelJob
from workers.pulse import Pulse
from workers.storage.spool import open_spool


@dataclass(frozen=True, slots=True)
class WorkerLocation:
    """The machine and process of a worker. card: the name of its GPU, empty without one."""

    node: str
    pid: int
    card: str = ""


@dataclass(frozen=True, slots=True)
class NodeRejected:
    """Why a worker cannot run on the node it was started on. node_id: Ray's id of the node."""

    node: str
    node_id: str
    message: str


class LabelActor:
    """Makes labels one at a time. Its only state is its evaluator with the evaluator's caches."""

    def __init__(self, task: str, space: str) -> None:
        self._task = task
        self._space = space
        self._metrics: WorkMetrics | None = None  # once ready, because Ray must be initialised

    def __repr__(self) -> str:
        return f"LabelActor({self._task}, {self._space})"

    def prepare(
        self, needs: NodeNeeds, evaluator: str, options: EvaluatorOptions, spool: str, cpus: float
    ) -> WorkerLocation | NodeRejected:
        """Check the node, then build the evaluator and open the spool. Returns when the worker is ready.

        needs: what the node must have. evaluator: its factory, "package.module:callable". spool: as for `open_spool`.
        cpus: number of cores to compute on.
        """
        set_up_logging()
        try:
            check_node(needs)
        except NodeError as error:
            return NodeRejected(platform.node(), _node_id(), str(error))
        self._spool = open_spool(spool)
        self._evaluator = build_evaluator(evaluator, options)
        if options.latency:
            self._evaluator = LatencyFollowUp(self._evaluator, campaign_settings(options.latency), self._spool)
        self._checkpoints = _open_checkpoints(options)
        self._metrics = WorkMetrics(self._task, self._space)
        use_cores(cpus)
        return self.where()

    def where(self) -> WorkerLocation:
        """Return the machine and the process."""
        return WorkerLocation(platform.node(), os.getpid(), _card())

    def run(self, job: LabelJob) -> AttemptReport:
        """Run one attempt, and publish the seconds of its phases."""
        with log_attempt(job):
            report = run_attempt(self._evaluator, job, self._spool, self._checkpoints)
            log_outcome(report)
        if self._metrics is not None:
            self._metrics.attempt_ended(report.measurement.seconds if report.measurement else {})
        return report

    def pulse(self) -> Pulse:
        """Return and publish the last sign of life of the attempt. Runs in another thread than `run`."""
        last = pulse.read()
        if self._metrics is not None:
            self._metrics.alive(last)
        return last


def _open_checkpoints(options: EvaluatorOptions) -> Any:
    if options.checkpoints_uri is None:
        return None
    from workers.storage.checkpoints import open_checkpoints  # loads torch, which a scripted evaluator does not need

    return open_checkpoints(options.checkpoints_uri)


def _card() -> str:
    """Return the name of this process's GPU, an empty text if it has none."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else ""


def _node_id() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())
