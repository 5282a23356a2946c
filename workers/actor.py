"""A thin shell that makes `run_attempt` a Ray actor. Ray itself is not imported here."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.attempt import run_attempt
from workers.label import Evaluator, LabelJob, Report
from workers.spool import Spool


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker runs."""

    node: str
    pid: int


def build_evaluator(path: str, arguments: dict[str, Any]) -> Evaluator:
    """Evaluator from its importable factory, "package.module:callable", called with `arguments`."""
    module, _, name = path.partition(":")
    evaluator: Evaluator = getattr(importlib.import_module(module), name)(**arguments)
    return evaluator


class LabelActor:
    """Makes labels one at a time. Holds no state but its evaluator's caches."""

    def __init__(
        self, task: str, space: str, evaluator: str, arguments: dict[str, Any], spool: str, cpus: float
    ) -> None:
        self._task = task
        self._space = space
        self._evaluator = build_evaluator(evaluator, arguments)
        self._spool = Spool(Path(spool))
        torch = sys.modules.get("torch")
        if torch is not None:
            # Ray limits OpenMP to one thread by default, whatever the actor has reserved.
            torch.set_num_threads(max(1, int(cpus)))

    def __repr__(self) -> str:
        return f"LabelActor({self._task}, {self._space})"

    def ready(self) -> Place:
        """Answers once the evaluator is built."""
        return Place(platform.node(), os.getpid())

    def run(self, job: LabelJob) -> Report:
        """Make one attempt."""
        return run_attempt(self._evaluator, job, self._spool)
