"""Generations are listed, compared, pinned, rolled back and exported; mistakes are one line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.cli.refresh import describe_outcome
from orchestrator.cli.status import describe
from orchestrator.predictors.decisions import RefreshRecord, write_record
from orchestrator.predictors.generations import publish
from orchestrator.predictors.refresh.changes import NothingToDo
from orchestrator.predictors.verdict import GateFigures, ScorePair, Verdict
from orchestrator.store.delta import DeltaLabelStore
from predictor.generation import Generation, read_generation, write_generation
from predictor.metadata import GenerationMetadata, HoldOutScores
from tests.support.exit_codes import exit_code

Program = Callable[..., tuple[int, Any, str]]

RECORD = RefreshRecord(
    number=2,
    champion=1,
    verdict=Verdict.PROMOTE,
    reason="pooled hold-out score 0.800 -> 0.900: better",
    made="2026-01-01T00:00:00+00:00",
    store="labels",
    version=5,
    new_labels=50,
    outliers={"s/seg/d": ["a"]},
    figures=GateFigures(tested=20, pooled=ScorePair(0.8, 0.9), low=0.05, high=0.15, tasks=()),
    hold_out=(HoldOutScores(set_name="s/seg/d", task="seg", tested=20, spearman=0.9),),
    seconds=12.0,
    candidate="_training/refresh-x",
    done=True,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Trained, refreshed, and a candidate that was refused."""
    out = tmp_path / "predictors"
    for number, score in ((1, 0.8), (2, 0.9)):
        hold_out = HoldOutScores(set_name="s/seg/d", task="seg", tested=10 * number, spearman=score)
        metadata = GenerationMetadata(
            model="default",
            made="2026-01-01T00:00:00+00:00",
            store="/home/me/labels",
            version=3,
            labels=100,
            hold_out=(hold_out,),
        )
        write_generation(out / f"{number:06d}", Generation(metadata, {}, [], {"a": np.zeros(1)}))
    publish(out / "000002")
    write_record(out, RECORD)
    refused = dataclasses.replace(RECORD, number=3, champion=2, verdict=Verdict.KEEP, reason="worse, and not by chance")
    write_record(out, refused)
    return out


@pytest.fixture
def program(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    def run(*arguments: str) -> tuple[int, Any, str]:
        monkeypatch.chdir(folder.parent)
        code = exit_code(monkeypatch, "generations", *arguments)
        printed = capsys.readouterr()
        try:
            document = json.loads(printed.out)
        except ValueError:
            document = printed.out
        return code, document, printed.err

    return run


def test_the_list_has_generations_and_refused_candidates(program: Program, folder: Path) -> None:
    for arguments in (
        ["--json"],
        ["list", "--json"],
        ["--json", "list"],
        ["list", "--predictors", str(folder), "--json"],
    ):
        code, rows, _ = program(*arguments)
        assert code == 0
        document = [(row["generation"], row["decision"], row["champion"], row["hold_out"]) for row in rows]
        assert document == [(1, "train", False, 0.8), (2, "promote", True, 0.9), (3, "keep", False, 0.9)]
    code, table, _ = program()
    assert code == 0
    assert "keep" in table
    assert "worse" in table
    assert program("--predictors", "nowhere", "--json")[:2] == (0, [])


def test_two_generations_are_compared_by_label_set(program: Program) -> None:
    code, rows, _ = program("compare", "1", "2", "--json")
    assert code == 0
    assert [row["set"] for row in rows] == ["s/seg/d", "all"]
    assert rows[1] == {
        "set": "all",
        "tested 1": 10,
        "tested 2": 20,
        "spearman 1": 0.8,
        "spearman 2": 0.9,
        "gain": pytest.approx(0.1),
    }


def test_a_pin_holds_until_unpin(program: Program, folder: Path) -> None:
    assert program("pin", "1", "--json")[:2] == (0, {"champion": 1, "pinned": 1})
    assert (folder / "latest").resolve().name == "000001"
    rows = program("--json")[1]
    assert [row["pinned"] for row in rows] == [True, False, False]
    assert program("unpin", "--json")[:2] == (0, {"champion": 1, "pinned": None})


def test_rollback_uses_the_previous_champion(program: Program, folder: Path) -> None:
    assert program("rollback", "--json")[:2] == (0, {"champion": 1, "pinned": 1})
    code, _, said = program("rollback")
    assert code == 2
    assert "there is no generation before this one: pin another, or train one" in said
    assert said.count("\n") == 1


def test_an_export_has_no_path_of_this_machine(program: Program, folder: Path) -> None:
    code, document, _ = program("export", "2", "shared", "--json")
    assert (code, document) == (0, {"generation": 2, "exported": "shared"})
    exported, original = (read_generation(one) for one in (folder.parent / "shared", folder / "000002"))
    assert (exported.metadata.store, exported.metadata.version) == ("", -1)
    assert exported.metadata.hold_out == original.metadata.hold_out
    assert np.array_equal(exported.arrays["a"], original.arrays["a"])
    code, _, said = program("export", "2", "shared")
    assert code == 2
    assert "shared: exists: choose another name" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pin", "9"], "generation 9 of predictors: does not exist; there are 1, 2"),
        (["pin", "3"], "generation 3 of predictors: does not exist"),  # refused, so it is not there
        (["compare", "1", "8"], "generation 8 of predictors: does not exist"),
        (
            ["--predictors", "nowhere", "pin", "1"],
            "generation 1 of nowhere: does not exist; there are none: make one with",
        ),
        (["--predictors", "nowhere", "rollback"], "there is no generation before this one"),
    ],
)
def test_user_errors_are_one_line(program: Program, arguments: list[str], says: str) -> None:
    code, _, said = program(*arguments)
    assert code == 2
    assert says in said
    assert said.count("\n") == 1


def test_an_unreadable_generation_is_listed_as_damaged(program: Program, folder: Path) -> None:
    (folder / "_decisions" / "000003.json").write_text("{")
    (folder / "000001" / "generation.json").write_text("{")
    rows = program("--json")[1]
    assert [(row["generation"], row["decision"]) for row in rows] == [(1, "damaged"), (2, "promote")]


def test_status_shows_the_predictor(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.cli.status.cluster_summary", dict)
    opened = DeltaLabelStore(tmp_path / "labels")
    assert describe(opened, "labels", tmp_path / "nowhere")["predictor"] == {}
    assert describe(opened, "labels", folder)["predictor"] == {
        "generation": 2,
        "hold_out": 0.9,
        "last_decision": "keep 3 (worse, and not by chance)",
    }


def test_a_refresh_is_one_document() -> None:
    document = describe_outcome(RECORD)
    assert (document["decision"], document["generation"], document["candidate"]) == ("promote", 2, 2)
    assert document["suspects"] == {"s/seg/d": 1}
    assert (document["hold_out"], document["hold_out_of_champion"]) == (0.9, 0.8)
    kept = describe_outcome(dataclasses.replace(RECORD, verdict=Verdict.KEEP, figures=None))
    assert (kept["generation"], kept["hold_out_of_champion"]) == (1, None)
    assert describe_outcome(NothingToDo("why", 4)) == {"decision": "nothing", "reason": "why", "generation": 4}
