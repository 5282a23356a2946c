"""`status --watch` repeats until it is interrupted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.cli import status as module
from orchestrator.store.delta import DeltaLabelStore
from tests.support.store_reports import report


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
