"""`orchestrator calibrate`: what it prints and stores, and its mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store.delta import DeltaLabelStore
from tests.support.audited_store import AUDITED, NETWORKS, audited_store
from tests.support.exit_codes import exit_code


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    return exit_code(monkeypatch, "calibrate", *arguments)


def test_estimates_are_stored_and_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    audited_store(tmp_path / "labels")
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "--task", "seg", "--json") == 0
    printed = capsys.readouterr()
    assert "flops alone ranks the audited networks by 1.00" in printed.err  # in this store
    document: dict[str, Any] = json.loads(printed.out)
    assert (document["audited"], document["labels"], document["added"]) == (AUDITED, NETWORKS, NETWORKS)
    assert document["ranking"]["correlation"] > document["ranks"]["label"] + 0.05
    assert len(DeltaLabelStore(tmp_path / "labels").labels(fidelity="calibrated")) == NETWORKS
    assert run(monkeypatch, "--task", "seg") == 0
    assert "added: 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--task", "seg"], "0 networks have both a cheap and a full label, but 8 are needed"),
        (["--task", "sge"], "unknown task 'sge'"),
        (["--task", "seg", "--space", "resnet"], "unknown space 'resnet'"),
        ([], "--task is missing"),
    ],
)
def test_mistakes(
    arguments: list[str],
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    message = capsys.readouterr().err
    assert problem in message
    assert message.count("\n") == 1


def test_such_labels_are_not_made_by_a_campaign(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code(monkeypatch, "label", "--task", "seg", "--fidelity", "calibrated")
    assert "orchestrator calibrate" in capsys.readouterr().err
