"""The command on Ray: a first generation, an updated one, nothing to do, and the list of generations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from orchestrator.store.delta import DeltaLabelStore
from predictor import Predictor
from tests.support.exit_codes import exit_code
from tests.support.labelled_networks import labelled, network

Program = Callable[..., tuple[int, Any]]


class _Context:
    dashboard_url = None


@pytest.fixture
def starts() -> list[int]:
    """A list that gets one entry each time a command starts Ray."""
    return []


@pytest.fixture
def program(
    tmp_path: Path,
    ray_session: None,
    starts: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Program:
    """A function that runs the program in `tmp_path` on the session's Ray; returns exit code and document."""
    monkeypatch.setattr(ray, "init", lambda **_: starts.append(1) or _Context())
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, Any]:
        code = exit_code(monkeypatch, *arguments, "--json")
        out = capsys.readouterr().out
        return code, json.loads(out.splitlines()[-1]) if out.strip() else None

    return run


def test_a_first_generation_a_refreshed_one_and_nothing_to_do(
    program: Program, starts: list[int], tmp_path: Path
) -> None:
    store = DeltaLabelStore(tmp_path / "labels")
    store.commit([labelled(number) for number in range(60)])
    code, first = program("refresh", "--cpus", "1")
    assert (code, first["decision"], first["generation"], first["new_labels"] < 60) == (0, "first", 1, True)
    store.commit([labelled(number) for number in range(60, 90)])
    code, second = program("refresh", "--cpus", "1")
    assert (code, second["decision"], second["generation"], second["new_labels"]) == (0, "promote", 2, 30), second
    assert second["hold_out"] >= second["hold_out_of_champion"] - 0.02
    prediction = Predictor.load(tmp_path / "predictors" / "latest").predict([network(300)], "seg")
    assert prediction.deviation[0] > 0
    code, nothing = program("refresh")
    assert (code, nothing["decision"], nothing["generation"], len(starts)) == (0, "nothing", 2, 2)
    code, rows = program("generations")
    assert (code, [(row["generation"], row["decision"], row["champion"]) for row in rows]) == (
        0,
        [(1, "train", False), (2, "promote", True)],
    )
