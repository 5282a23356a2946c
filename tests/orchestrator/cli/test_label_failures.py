"""Why labels failed: what `label`, its JSON and `status` say, and how they are made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.campaign.executor import Executor
from orchestrator.campaign.missing import describe_failures, group_failures
from orchestrator.campaign.simulated import Behaviour, SimulatedClock, SimulatedExecutor
from tests.support.label_in_process import label_with, run
from workers.errors import (
    BadDataFailure,
    DataError,
    DivergedFailure,
    LoaderLostFailure,
    OutOfMemoryFailure,
    RecipeError,
)
from workers.messages.label import LabelJob, Measurement, Outcome
from workers.storage.spool import Spool

GOOD = Measurement(0.5, "top1", {"top1": 0.5}, 1.0, 1.0, {"train": 0.0})
# What goes wrong in a worker, how it is recorded, what its reason says, and whether only --retry-failed tries it again.
FAILURES: list[tuple[Exception | float, str, str, bool]] = [
    (BadDataFailure("a.jpg is not a readable image"), "bad_data", "a.jpg is not a readable image", True),
    (DataError("classes.json was removed"), "bad_data", "classes.json was removed", True),
    (DivergedFailure("loss is nan at step 7"), "diverged", "loss is nan at step 7", True),
    (float("nan"), "diverged", "top1 is nan", True),
    (OutOfMemoryFailure("2 GB more"), "out_of_memory", "in 8 parts: OutOfMemoryFailure: 2 GB more", True),
    (MemoryError("no memory"), "out_of_memory", "MemoryError: no memory", True),
    (ValueError("expected\n  two classes"), "error", "ValueError: expected two classes", True),
    (KeyError("box_ap"), "error", "KeyError: 'box_ap'", True),
    (ImportError("no module named mmcv"), "error", "no module named mmcv", True),
    (RecipeError("body pretrained: is another file"), "error", "body pretrained: is another file", True),
    (LoaderLostFailure("a loading process was killed"), "crash", "a loading process was killed", False),
]
LABEL = ["label", "--task", "cls", "--fidelity", "full", "--sample", "uniform", "--num"]


def _fail_each(job: LabelJob, known: dict[str, Exception | float]) -> Measurement:
    """Let each new architecture fail in the next way, and known ones as before."""
    failure = known.setdefault(job.request.key, FAILURES[len(known) % len(FAILURES)][0])
    if isinstance(failure, Exception):
        raise failure
    return Measurement(failure, "top1", {"top1": failure}, 1.0, 1.0, {})


def _assert_rows(rows: list[dict[str, Any]]) -> None:
    assert len(rows) == len(FAILURES)
    for _, outcome, reason, final in FAILURES:
        (row,) = [row for row in rows if reason in row["reason"] and row["outcome"] == outcome and row["labels"]]
        assert row == row | {"labels": 1, "retry": "--retry-failed" if final else "the same command"}
        assert "\n" not in row["reason"]


def test_the_command_says_why_its_labels_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eleven labels fail, each in its own way: the table, the JSON document, `status`, a second run and a retry."""
    store, final = ["--store", str(tmp_path / "labels")], sum(failure[3] for failure in FAILURES)
    label = [*LABEL, str(len(FAILURES)), *store]
    known: dict[str, Exception | float] = {}
    label_with(monkeypatch, lambda job: _fail_each(job, known))
    first = run(monkeypatch, capsys, *label)
    assert first.code == 1
    for _, outcome, reason, _ in FAILURES:
        assert any(outcome in line and reason in line for line in first.out.splitlines())
    assert first.err.splitlines()[-1].startswith("11 labels missing: 1 because of ")
    assert first.err.endswith(
        "(and 10 other reasons): fix the cause and add --retry-failed for 10 of them, run the same command again for "
        "the others\n"
    )

    status = run(monkeypatch, capsys, "status", *store, "--predictors", str(tmp_path), "--json").document
    _assert_rows(status["failures"])
    shown = run(monkeypatch, capsys, "status", *store, "--predictors", str(tmp_path)).out
    assert all(reason in shown for _, _, reason, _ in FAILURES)

    reached = label_with(monkeypatch, lambda job: _fail_each(job, known))
    again = run(monkeypatch, capsys, *label, "--json")
    assert (again.code, again.document["missing"], len(reached)) == (1, 11, 11 - final)
    _assert_rows(again.document["failures"])
    assert f"{final} labels failed in an earlier run and are not tried again without --retry-failed" in again.err

    reached = label_with(monkeypatch, lambda job: GOOD)
    retried = run(monkeypatch, capsys, *label, "--retry-failed", "--json")
    assert (retried.code, retried.document["missing"], retried.document["failures"], len(reached)) == (0, 0, [], 11)
    assert "missing" not in retried.err


@pytest.mark.parametrize(
    ("behaviour", "outcome", "reason"),
    [
        (Behaviour(outcome=Outcome.CRASH), "crash", "as scripted"),
        (Behaviour(outcome=Outcome.LOST_NODE), "lost_node", "as scripted"),
        (Behaviour(hang=True), "timeout", "no sign of life for"),
    ],
)
def test_the_command_says_why_its_workers_were_lost(
    behaviour: Behaviour,
    outcome: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def make(spool: Spool) -> tuple[Executor, Callable[[], float]]:
        clock = SimulatedClock()
        return SimulatedExecutor(lambda job: behaviour, clock), clock

    make.executor = True  # type: ignore[attr-defined]
    label_with(monkeypatch, make)
    printed = run(monkeypatch, capsys, *LABEL, "1", "--store", str(tmp_path / "labels"), "--json")
    assert printed.code == 1
    (row,) = printed.document["failures"]
    assert (row["labels"], row["outcome"], row["retry"]) == (1, outcome, "the same command")
    assert reason in row["reason"]
    assert printed.err.splitlines()[-1].endswith("run the same command again")


def _attempt(key: str, message: str, at: float, *, final: bool = True, outcome: str = "error") -> dict[str, Any]:
    return {"key": key, "attempt": 1, "outcome": outcome, "message": message, "started": at, "final": final}


def test_reasons_are_grouped_by_the_last_attempt() -> None:
    attempts = [
        _attempt("a", "first", 1, final=False),
        _attempt("a", "second", 2),
        _attempt("b", "second", 1),
        _attempt("c", "lost", 1, final=False, outcome="crash"),
        _attempt("d", "not asked for", 1),
        _attempt("e", "chosen because of its size", 3, outcome="ok"),
    ]
    missing = {"a": 1, "b": 3, "c": 1, "e": 1, "f": 2}
    rows = group_failures(attempts, missing, "stopped")
    assert rows == [
        {"labels": 4, "outcome": "error", "reason": "second", "retry": "--retry-failed"},
        {"labels": 3, "outcome": "not started", "reason": "stopped", "retry": "the same command"},
        {"labels": 1, "outcome": "crash", "reason": "lost", "retry": "the same command"},
    ]
    assert describe_failures(rows) == (
        "8 labels missing: 4 because of second (and 2 other reasons): fix the cause and add --retry-failed for 4 of "
        "them, run the same command again for the others"
    )
    assert [row["labels"] for row in group_failures(attempts, missing)] == [4, 1]
    assert describe_failures([]) == ""


def test_many_reasons_are_counted_together() -> None:
    attempts = [_attempt(str(n), f"reason {n:02d}", n) for n in range(30)]
    rows = group_failures(attempts, {str(n): 1 for n in range(30)})
    assert len(rows) == 21
    assert (rows[-1]["labels"], rows[-1]["reason"]) == (10, "10 other reasons")
    assert json.dumps(rows)
