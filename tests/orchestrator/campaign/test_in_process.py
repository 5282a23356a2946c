"""Attempts and campaigns in this process."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.in_process import InProcessExecutor
from orchestrator.campaign.run import run_campaign
from orchestrator.campaign.scaling import FixedWorkers
from tests.support.fake_evaluator import evaluate, request
from workers.execution.attempt import run_attempt
from workers.messages.label import LabelJob, Measurement, Outcome
from workers.storage.folder_spool import FolderSpool


@pytest.mark.parametrize(
    ("do", "outcome", "final"),
    [
        ("sleep", Outcome.OK, False),
        ("nan", Outcome.DIVERGED, True),
        ("diverged", Outcome.DIVERGED, True),
        ("raise", Outcome.ERROR, True),
        ("bad_data", Outcome.BAD_DATA, True),
        ("oom", Outcome.OUT_OF_MEMORY, False),
        ("oom_unless_split", Outcome.OUT_OF_MEMORY, False),
    ],
)
def test_attempt_names_the_outcome_and_spools_what_is_settled(
    tmp_path: Path, do: str, outcome: Outcome, final: bool
) -> None:
    report = run_attempt(evaluate, LabelJob(request(0, do), "c"), FolderSpool(tmp_path))
    assert (report.outcome, report.final, report.measurement is None) == (outcome, final, outcome is not Outcome.OK)
    assert FolderSpool(tmp_path).read() == ([report] if final or outcome is Outcome.OK else [])


def test_campaign_in_process(tmp_path: Path) -> None:
    spool = FolderSpool(tmp_path)
    requests = [request(0), request(1, "raise"), request(2, "oom"), request(3, "oom_unless_split"), request(4, "nan")]
    controller = CampaignController(requests, "c", FixedWorkers(2))
    end = run_campaign(controller, InProcessExecutor(evaluate, spool), record=spool.put)
    assert (end.done, end.failed) == (2, 3)
    assert len(spool.read()) == 9  # out of memory was tried with 1, 2, 4 and 8 parts
    assert sum(report.final for report in spool.read()) == 3


@pytest.mark.parametrize("presses", [1, 2])
def test_interrupts_drain_and_stop(tmp_path: Path, presses: int) -> None:
    def interrupting(job: LabelJob) -> Measurement:
        for _ in range(presses):
            os.kill(os.getpid(), signal.SIGINT)
        return evaluate(job)

    spool = FolderSpool(tmp_path)
    before = signal.getsignal(signal.SIGINT)
    controller = CampaignController([request(n) for n in range(9)], "c", FixedWorkers(1))
    end = run_campaign(controller, InProcessExecutor(interrupting, spool), record=spool.put)
    # The label that was finished at the stop is kept.
    assert (end.done, end.todo) == (1, 8)
    assert [report.outcome for report in spool.read()] == [Outcome.OK]
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_in_a_commit_is_raised(tmp_path: Path) -> None:
    def commit() -> None:
        raise OSError("disk full")

    spool = FolderSpool(tmp_path)
    controller = CampaignController([request(0)], "c", FixedWorkers(1))
    with pytest.raises(OSError, match="disk full"):
        run_campaign(controller, InProcessExecutor(evaluate, spool), record=spool.put, commit=commit)
