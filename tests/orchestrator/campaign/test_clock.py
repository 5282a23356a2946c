"""A clock that jumps kills no labels."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from orchestrator.campaign.clock import steady_time
from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.in_process import InProcessExecutor
from orchestrator.campaign.run import run_campaign
from orchestrator.campaign.scaling import FixedWorkers
from tests.support.fake_evaluator import evaluate, request
from workers.messages.label import LabelJob, Measurement
from workers.storage.folder_spool import FolderSpool


def test_it_is_the_time_of_day() -> None:
    assert abs(steady_time() - time.time()) < 5


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_jump_changes_no_duration(jump: float, monkeypatch: pytest.MonkeyPatch) -> None:
    before, now = steady_time(), time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    assert 0 <= steady_time() - before < 5


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_campaign_goes_through_a_jump(jump: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time

    def jumping(job: LabelJob) -> Measurement:
        monkeypatch.setattr(time, "time", lambda: now() + jump)
        return evaluate(job)

    spool = FolderSpool(tmp_path)
    controller = CampaignController([request(n) for n in range(3)], "c", FixedWorkers(1))
    end = run_campaign(controller, InProcessExecutor(jumping, spool), record=spool.put)
    assert (end.done, end.failed, dict(end.outcomes)) == (3, 0, {"ok": 3})
    assert all(time_.gone is None or 0 <= time_.gone - time_.ready < 60 for time_ in controller.times.values())
