"""`refresh --watch` continues after errors, prints each one once, and prints every decision."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.cli import refresh as module
from orchestrator.errors import ConfigError, RefreshError
from orchestrator.predictors.refresh.changes import NothingToDo
from orchestrator.predictors.refresh.run import Trained
from predictor.metadata import GenerationMetadata


def test_watch_continues_after_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    metadata = GenerationMetadata(model="default", version=3, labels=9)
    outcomes = iter(
        [
            ConfigError("another one writes"),
            ConfigError("another one writes"),
            Trained(1, metadata),
            NothingToDo("no label is newer", 1),
            NothingToDo("no label is newer", 1),
            RefreshError("it failed"),
            Trained(2, metadata),
        ]
    )

    def refresh_once(*_: object) -> object:
        outcome = next(outcomes, KeyboardInterrupt())
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(module, "refresh_once", refresh_once)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    module.refresh(str(tmp_path), tmp_path, watch=True, every=1.0, workers=1, gpus=0.0, cpus=0.0, json=True)
    printed = capsys.readouterr()
    assert [json.loads(line)["generation"] for line in printed.out.splitlines()] == [1, 2]
    assert printed.err.splitlines() == ["error: another one writes", "no label is newer", "error: it failed"]
