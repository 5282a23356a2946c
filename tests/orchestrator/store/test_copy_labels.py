"""Copying the labels of one store into another."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from orchestrator.cli.app import main
from orchestrator.store import DeltaLabelStore, MemoryLabelStore
from orchestrator.store import copy_labels as copy_module
from orchestrator.store.copy_labels import CopyResult, copy_labels
from tests.support.exit_codes import exit_code
from tests.support.store_reports import report
from workers.messages.label import Outcome


def test_labels_graphs_and_attempts_are_copied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_module, "_LABELS_PER_COMMIT", 2)
    source, target, seen = MemoryLabelStore(), MemoryLabelStore(), list[tuple[int, int]]()
    source.commit([report(seed) for seed in range(5)])
    source.commit([report(9, outcome=Outcome.DIVERGED, final=True)])
    target.commit([report(0, value=0.9, campaign="mine")])
    assert copy_labels(source, target, lambda *count: seen.append(count)) == CopyResult(5, 4, 1, 6)
    assert seen == [(2, 4), (4, 4)]
    assert target.keys() == source.keys()
    assert target.finally_failed() == source.finally_failed() != set()
    assert sorted(target.labels()["value"].to_pylist()) == [0.5, 0.5, 0.5, 0.5, 0.9]
    before = target.version()
    assert copy_labels(source, target) == CopyResult(5, 0, 5, 0)
    assert target.version() == before


def test_the_command_prints_the_number_of_copied_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    DeltaLabelStore(tmp_path / "theirs").commit([report(1), report(2)])
    command = ["orchestrator", "import", f"file://{tmp_path}/theirs", "--store", str(tmp_path / "mine"), "--json"]
    monkeypatch.setattr(sys, "argv", command)
    for added in (2, 0):
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        printed = json.loads(capsys.readouterr().out)
        assert (printed["rows"], printed["added"], printed["known"]) == (2, added, 2 - added)
    assert DeltaLabelStore(tmp_path / "mine").labels().num_rows == 2


def test_a_folder_without_labels_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch, "import", str(tmp_path)) == 2
    assert f"error: {tmp_path}: holds no labels: name a label store or a CSV file" in capsys.readouterr().err
