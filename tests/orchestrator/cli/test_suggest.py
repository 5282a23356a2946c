"""`orchestrator suggest`: what to label next, and every mistake in one line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.campaign.architectures_file import read_architectures
from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.plan import plan_template
from orchestrator.search import candidates, surrogate
from orchestrator.search.architectures_out import suggestions_text
from orchestrator.store.delta import DeltaLabelStore
from tests.support.exit_codes import exit_code
from tests.support.labelled_cells import cell_labels

SEG = ["--task", "seg"]
SMALL = ["--pool", "12", "--fidelity", "full"]

CASES = [
    ([], "--task is missing: choose one of cls"),
    (["--task", "sge"], "unknown task 'sge'"),
    ([*SEG, "--space", "resnet"], "unknown space 'resnet'"),
    ([*SEG, "--space", "nowhere.yaml"], "nowhere.yaml"),
    ([*SEG, "--num", "0"], "--num: Input should be greater than or equal to 1"),
    ([*SEG, "--pool", "0"], "--pool: Input should be greater than or equal to 1"),
    ([*SEG, "--seed", "-1"], "--seed:"),
    ([*SEG, "--choose", "worst"], "--choose 'worst': write one of diverse, best, both"),
    ([*SEG, "--choose", "random"], "--choose 'random': write one of diverse, best, both"),
    ([*SEG, "--out", "next.txt"], "--out next.txt: must be a .csv or .json file"),
    ([*SEG, "--out", "/nowhere/next.csv"], "--out /nowhere/next.csv: folder /nowhere does not exist"),
    ([*SEG, "--store", ""], "--store is empty"),
    ([*SEG, "--data", "masks:/nowhere"], "/nowhere"),
    ([*SEG, "--data", "shpaes"], "unknown data format 'shpaes'"),
    ([*SEG, "--recipe", "cloud"], "unknown shared recipe for task seg 'cloud'"),
    ([*SEG, "--fidelity", "rumour"], "unknown fidelity 'rumour'"),
    ([*SEG, "--set", "batch"], "--set 'batch': write FIELD=VALUE"),
    ([*SEG, *SMALL, "--set", "batches=4"], "batches"),
]
LABEL_CASES = [
    (["--choose", "worst"], "--choose: Input should be 'stratified', 'random', 'diverse', 'best' or 'both'"),
    (["--choose", "random", "--sample", "stratified"], "--choose random samples uniformly: leave out --sample"),
    (["--pool", "9"], "--pool is of --choose diverse, best and both"),
    (["--choose", "best", "--audit", "4"], "--audit: not available with --choose best: leave it out"),
    (["--choose", "both", "--architectures", "x.csv"], "--architectures: not available with --choose both"),
]


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch, command: str = "suggest") -> int:
    return exit_code(monkeypatch, command, *arguments)


@pytest.mark.parametrize(
    ("command", "arguments", "says"),
    [*(("suggest", *case) for case in CASES), *(("label", [*SEG, *a], says) for a, says in LABEL_CASES)],
)
def test_one_line_and_exit_code_2(
    command: str,
    arguments: list[str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments, monkeypatch, command) == 2
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not list(tmp_path.iterdir())


def test_a_broken_store_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "x.parquet").write_bytes(b"?")
    assert run([*SEG, *SMALL, "--store", str(tmp_path)], monkeypatch) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def labelled(tmp_path: Path) -> str:
    """A store with eight labels that the recipe laptop gives on `shapes`."""
    request = plan_template(CampaignConfig.checked(task="seg", fidelity="full", choose="both"))
    reports = [
        dataclasses.replace(r, job=dataclasses.replace(r.job, request=dataclasses.replace(request, architecture=a)))
        for r in cell_labels("seg", 8)
        for a in [r.job.request.architecture]
    ]
    DeltaLabelStore(tmp_path / "store").commit(reports)
    return str(tmp_path / "store")


def test_suggestions_follow_the_labels_and_label_reads_them(
    labelled: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(candidates, "_MUTATIONS", 1)
    monkeypatch.setattr(surrogate, "shipped", SimpleNamespace(FOLDER=tmp_path / "nothing"))  # it takes seconds to load
    arguments = [*SEG, *SMALL, "--num", "3", "--choose", "best", "--store", labelled, "--out", "next.csv", "--json"]
    assert run(arguments, monkeypatch) == 0
    printed = capsys.readouterr()
    assert "8 architectures of nasbench201 for seg on shapes" in printed.err
    rows: list[dict[str, Any]] = json.loads(printed.out)
    assert [architecture.id for architecture in read_architectures(Path("next.csv"))] == [
        r["architecture"] for r in rows
    ]
    Path("next.json").write_text(suggestions_text(rows, ".json"))
    assert read_architectures(Path("next.json")) == read_architectures(Path("next.csv"))
    assert [row["reason"].partition(":")[0] for row in rows] == ["best", "diverse among the promising", "best"]
    assert all(0 < row["mean"] < 1 and row["deviation"] > 0 and row["flops"] > 0 for row in rows)
    known = {report.job.request.architecture.id for report in cell_labels("seg", 8)}
    assert not known & {row["architecture"] for row in rows}


def test_too_small_a_pool_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*SEG, "--fidelity", "full", "--pool", "2", "--num", "3"], monkeypatch) == 1
    printed = capsys.readouterr()
    assert "only 2 of 3: no other candidate has another graph: raise --pool" in printed.err
    assert "diverse: the most central of the candidates" in printed.out
