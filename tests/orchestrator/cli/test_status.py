"""`status --watch` repeats until it is interrupted."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from orchestrator.cli import status as module
from orchestrator.store.delta import DeltaLabelStore
from tests.support.store_reports import report
from workers.messages.label import Outcome


def test_watch_shows_new_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, looks = DeltaLabelStore(tmp_path), 0

    def wait(seconds: float) -> None:
        nonlocal looks
        assert seconds == 2.0
        looks += 1
        if looks == 3:
            raise KeyboardInterrupt
        store.commit([report(looks)])

    monkeypatch.setattr(module.time, "sleep", wait)
    monkeypatch.setattr(module, "cluster_summary", dict)
    module.status(store=str(tmp_path), predictors=tmp_path / "predictors", watch=True, every=2.0, json=True)
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [document["labels"] for document in documents] == [0, 1, 2]


def test_attempts_and_missing_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, now = DeltaLabelStore(tmp_path), time.time()
    failed = report(1, outcome=Outcome.ERROR, started=now - 7200)
    store.commit([report(0, started=now - 7200), failed, report(1, attempt=2, started=now - 60)])
    store.commit([report(2, outcome=Outcome.DIVERGED, final=True, started=now - 9000)])
    monkeypatch.setattr(module, "cluster_summary", dict)
    document = module.describe(store, str(tmp_path), tmp_path / "predictors")
    assert document["attempts"] == {"diverged": 1, "ok": 2, "error": 1}
    assert document["labels_in_the_last_hour"] == 1
    assert document["failures"] == [
        {"labels": 1, "outcome": "diverged", "reason": "it broke", "retry": "--retry-failed"}
    ]
    assert document["recent_failures"] == ["it broke", "it broke"]
    assert document["labels"] == 2
