"""A store or spool that cannot be written for a moment delays a campaign, and ends it only after a time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from orchestrator.campaign.commit_thread import CommitThread
from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.in_process import InProcessExecutor
from orchestrator.campaign.run import run_campaign
from orchestrator.campaign.scaling import FixedWorkers
from orchestrator.campaign.unsaved_reports import UnsavedReports
from orchestrator.errors import StoreError
from tests.support.fake_evaluator import evaluate, request
from tests.support.store_reports import report
from workers.execution import attempt
from workers.messages.label import AttemptReport
from workers.storage.folder_spool import FolderSpool

FULL = OSError(28, "No space left on device")
REFUSED = StoreError("label store s: cannot be written: check disk space")


class Refusing:
    """Fails some times, then works."""

    def __init__(self, failures: int, error: Exception) -> None:
        self._failures, self._error = failures, error
        self.saved: list[AttemptReport] = []
        self.calls = 0

    def __call__(self, *reports: AttemptReport) -> None:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error
        self.saved += reports

    put = __call__


def test_reports_wait_in_their_order() -> None:
    save = Refusing(2, FULL)
    unsaved = UnsavedReports(save, patience_s=10.0)
    first, second = report(), report()
    unsaved.add(first, now=0.0)
    unsaved.add(second, now=1.0)
    assert save.saved == []
    unsaved.retry(now=2.0)
    assert [id(saved) for saved in save.saved] == [id(first), id(second)]


def test_the_driver_gives_up_in_the_end() -> None:
    unsaved = UnsavedReports(Refusing(9, FULL), patience_s=10.0)
    unsaved.add(report(), now=0.0)
    with pytest.raises(OSError, match="No space"):
        unsaved.retry(now=10.0)
    with pytest.raises(OSError, match="No space"):
        unsaved.close()


def _ticks(committer: CommitThread, times: list[float]) -> None:
    for now in times:
        while committer._pending is not None and not committer._pending.done():
            time.sleep(0.001)
        committer.tick(now)


def test_commits_are_tried_again() -> None:
    commit = Refusing(3, REFUSED)
    committer = CommitThread(commit, interval_s=1.0, patience_s=10.0)
    _ticks(committer, [0.0, 1.0, 2.0, 3.0])
    committer.close()
    assert commit.calls == 5


def test_a_store_that_stays_closed_ends_the_campaign() -> None:
    committer = CommitThread(Refusing(99, REFUSED), interval_s=1.0, patience_s=3.0)
    with pytest.raises(StoreError, match="cannot be written"):
        _ticks(committer, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    with pytest.raises(StoreError, match="cannot be written"):
        committer.close()


def test_a_worker_keeps_its_report_while_the_spool_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "_RETRY_S", 0.0)
    spool, refusing = FolderSpool(tmp_path), Refusing(3, FULL)
    controller = CampaignController([request(0)], "c", FixedWorkers(1))
    end = run_campaign(controller, InProcessExecutor(evaluate, refusing), record=spool.put)
    assert (end.done, end.failed, refusing.calls) == (1, 0, 4)
    assert len(refusing.saved) == 1
