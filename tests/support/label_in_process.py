"""`orchestrator label` in the calling process: an executor of the test instead of Ray, and no process that commits."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.executor import Executor
from orchestrator.campaign.in_process import InProcessExecutor
from orchestrator.campaign.progress import CampaignProgress
from orchestrator.campaign.run import run_campaign
from orchestrator.campaign.scaling import FixedWorkers
from orchestrator.cli import status
from orchestrator.cli.app import main
from orchestrator.store.committer import Committer
from orchestrator.store.delta import DeltaLabelStore
from workers.data import open_data
from workers.messages.label import Evaluator, LabelJob, LabelRequest, Measurement
from workers.storage.spool import Spool, open_spool

MakeExecutor = Callable[[Spool], tuple[Executor, Callable[[], float] | None]]


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command left: its exit code and the text on both streams."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on stdout."""
        loaded: dict[str, Any] = json.loads(self.out)
        return loaded


class InProcessCommitter:
    """Commits in the calling process, with the methods of a `CommitterProcess`."""

    def __init__(self, store: str, spool: str) -> None:
        self._committer = Committer(DeltaLabelStore(store), open_spool(spool))

    def drain(self) -> None:
        while self._committer.run_once() is not None:
            pass

    def close(self) -> None:
        pass


def label_with(monkeypatch: pytest.MonkeyPatch, make: MakeExecutor | Evaluator) -> list[LabelRequest]:
    """Let the command make labels by an executor or an evaluator; returns the list of requests that reach it.

    make: an evaluator, or a function from the spool to an executor and its clock, marked by the attribute `executor`.
    """
    reached: list[LabelRequest] = []

    def label_requests(
        config: Any, todo: Sequence[LabelRequest], committer: InProcessCommitter, spool: Spool, *_: Any
    ) -> CampaignProgress:
        reached.extend(todo)
        made: Any = make
        executor, clock = made(spool) if getattr(make, "executor", False) else (InProcessExecutor(made, spool), None)
        controller = CampaignController(list(todo), f"campaign{len(reached)}", FixedWorkers(1))
        more = {} if clock is None else {"clock": clock}
        return run_campaign(controller, executor, record=spool.put, commit=committer.drain, poll_s=0.01, **more)

    monkeypatch.setattr("orchestrator.cli.campaign.label_requests", label_requests)
    monkeypatch.setattr("orchestrator.cli.campaign.ray_session", lambda *_: nullcontext())
    monkeypatch.setattr("orchestrator.cli.campaign.CommitterProcess", InProcessCommitter)
    monkeypatch.setattr(status, "cluster_summary", dict)
    return reached


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> Printed:
    """Run the program in this process."""
    monkeypatch.setattr(sys, "argv", ["orchestrator", *arguments])
    capsys.readouterr()
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    printed = capsys.readouterr()
    return Printed(code, printed.out, printed.err)


def read_everything(job: LabelJob) -> Measurement:
    """Decode all samples of the data set instead of training on them."""
    data = open_data(job.request.data, job.request.task)
    for split in ("train", "held-out"):
        for index in range(data.size(split)):
            data.sample(split, index)
    return Measurement(0.5, "read", {"read": 0.5}, 1.0, 1.0, {"train": 0.0})
