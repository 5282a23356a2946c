"""The numbers of a report are those that other commands print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.campaign.summary import audit_summary
from orchestrator.report.contents import ReportContents, read_contents
from orchestrator.report.page import build_report
from orchestrator.store.delta import DeltaLabelStore
from predictor.generation import read_metadata
from predictor.metadata import hold_out_to_json
from tests.support.exit_codes import exit_code
from tests.support.html_page import HtmlPage
from tests.support.labelled_cells import train_on
from tests.support.labelled_networks import labelled
from tests.support.reported_store import NETWORKS, make_store, reports


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("reported"))


def contents_of(store: Path, predictors: Path | None = None) -> ReportContents:
    return read_contents(DeltaLabelStore(store), str(store), predictors or store / "none")


@pytest.fixture(scope="module")
def page(store: Path) -> HtmlPage:
    return HtmlPage(build_report(contents_of(store)).html)


def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    """Return what a command prints with --json."""
    assert exit_code(monkeypatch, *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_labels_are_those_of_labels(
    page: HtmlPage, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = printed(capsys, monkeypatch, "labels", "--store", str(store), "--limit", "10000")
    columns = page.data["labels"]
    in_page = [{name: columns[name][place] for name in rows[0]} for place in range(len(columns["key"]))]
    order = lambda row: json.dumps(row, sort_keys=True)  # noqa: E731
    assert sorted(in_page, key=order) == sorted(rows, key=order)
    assert page.data["label_count"] == len(rows) == NETWORKS * 7
    expected = {(row["architecture"], row["task"], row["seed"], row["value"]) for row in rows}
    tables = {
        name.removeprefix("Labels of "): rows for name, rows in page.tables.items() if name.startswith("Labels of ")
    }
    assert len(tables) == NETWORKS
    assert {(name, row["task"], row["seed"], row["value"]) for name, rows in tables.items() for row in rows} == expected


def test_groups_and_attempts_are_those_of_status(
    page: HtmlPage, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.cli.status.cluster_summary", dict)
    status = printed(capsys, monkeypatch, "status", "--store", str(store))
    sections = page.data["sections"]
    numbers = ("labels", "lowest", "highest", "reliability")
    groups = {group["group"]: {name: group[name] for name in numbers} for group in sections["labels"]["groups"]}
    assert groups == status["groups"]
    assert page.data["version"] == status["version"]
    assert sections["failures"]["attempts"] == status["attempts"]
    visible = page.tables["Labels by task, space and recipe"]
    assert sorted((row["labels"], row["lowest"], row["highest"]) for row in visible) == sorted(
        (group["labels"], group["lowest"], group["highest"]) for group in status["groups"].values()
    )
    noise = {row["group"]: row for row in sections["noise"]["groups"]}
    for name, group in status["groups"].items():
        assert (name in noise) == (group["reliability"] is not None)
        if name in noise:
            assert noise[name]["spearman"] == group["reliability"]["spearman"]
    spearmans = sorted(row["rank correlation of seeds"] for row in page.tables["Reliability of labels"])
    assert spearmans == sorted(row["spearman"] for row in noise.values())


def test_ranks_of_costs_are_those_of_evaluate(
    page: HtmlPage, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["--split", "architecture", "--labels", "0", "--model", "flops", "--model", "params", "--seeds", "1"]
    rows = printed(capsys, monkeypatch, "evaluate", "--store", str(store), "--jobs", "1", *asked)
    expected = {(row["target"], row["model"]): row["spearman"] for row in rows if "mean of" not in row["target"]}
    found = {}
    for group in page.data["sections"]["value-and-cost"]["groups"]:
        task, space, fidelity, _, _ = group["group"].split("/")
        if fidelity == "full":
            for cost, rho in group["spearman"].items():
                found[f"{space}/{task}/folder:/data", cost] = pytest.approx(rho)
    assert len(found) == 4
    assert {key: expected[key] for key in found} == found


def test_audits_are_those_of_the_campaign(page: HtmlPage, store: Path) -> None:
    rows = DeltaLabelStore(store).labels(task="seg").to_pylist()
    cheap, full = ([row for row in rows if row["fidelity"] == fidelity] for fidelity in ("proxy", "full"))
    expected = audit_summary(cheap, full)
    audit = next(row for row in page.data["sections"]["audits"]["audits"] if row["group"].startswith("seg/"))
    assert {name: audit[name] for name in expected} == expected
    visible = page.tables["Audits"][1]
    assert visible["rank correlation with full"] == expected["correlation"]
    assert visible["FLOPs instead"] == expected["ranks"]["flops"]
    assert visible["full / cheap seconds"] == expected["cost_ratio"]


def test_time_spent_and_failures_are_those_of_the_attempts(page: HtmlPage) -> None:
    spent = page.data["sections"]["spent"]
    assert spent["seconds"]["ok"] == pytest.approx(sum(report.seconds for report in reports()))
    assert spent["seconds"]["crash"] == pytest.approx(2 * 4.25)
    assert spent["phases"]["seg, full"] == {"train": pytest.approx(NETWORKS * 2 * 3.0), "data": NETWORKS * 2 * 1.0}
    assert page.tables["Failed attempts"] == [
        {"kind": "crash", "attempts": 2, "given up": 1, "last message": "attempt 2: it broke"},
        {"kind": "diverged", "attempts": 1, "given up": 1, "last message": "attempt 3: it broke"},
    ]


def test_fronts_are_optimal_and_linked(page: HtmlPage, store: Path) -> None:
    rows = DeltaLabelStore(store).labels(task="seg", fidelity="full").to_pylist()
    means: dict[str, list[float]] = {}
    for row in rows:
        means.setdefault(row["architecture"], []).append(row["value"])
    values = {name: sum(both) / 2 for name, both in means.items()}
    flops = {row["architecture"]: row["flops"] for row in rows}
    best = {
        one
        for one in values
        if not any(
            flops[other] <= flops[one]
            and values[other] >= values[one]
            and (flops[other], values[other]) != (flops[one], values[one])
            for other in values
        )
    }
    groups = page.data["sections"]["value-and-cost"]["groups"]
    fronts = next(group["fronts"] for group in groups if group["group"].startswith("seg/cells/full"))
    assert set(fronts["flops"]) == best
    assert len(fronts) == 2  # FLOPs, and the device of the latencies
    links = {value for tag, name, value in page.attributes if tag == "a" and name == "href"}
    assert {link[1:] for link in links} <= set(page.ids)
    assert sum(link.startswith("#network-") for link in links) == NETWORKS
    assert len(page.ids) == len(set(page.ids))


def test_predictions_are_those_of_the_generation(tmp_path: Path) -> None:
    generation = train_on([labelled(number) for number in range(80)], tmp_path)
    page = HtmlPage(build_report(contents_of(tmp_path / "labels", tmp_path / "predictors")).html)
    metadata = read_metadata(generation)
    assert len(metadata.hold_out) == 1
    section = page.data["sections"]["predictions"]
    scores = [{name: row[name] for name in row if name not in ("flops", "params")} for row in section["sets"]]
    assert scores == [
        {name: value if isinstance(value, str) else pytest.approx(value) for name, value in row.items()}
        for row in hold_out_to_json(metadata.hold_out)
    ]
    visible = page.tables["Scores on the hold-out"][0]
    assert visible["labels"] == metadata.hold_out[0].tested
    assert visible["rank correlation"] == pytest.approx(metadata.hold_out[0].spearman)
    nearest = min(section["calibration"], key=lambda row: abs(row["nominal"] - 0.9))
    assert nearest["observed"] == pytest.approx(metadata.hold_out[0].coverage)
    generations = page.data["sections"]["generations"]["generations"]
    assert [(row["generation"], row["decision"], row["labels"]) for row in generations] == [
        (1, "train", metadata.labels)
    ]
    assert page.tables["Generations and refused candidates"][0]["hold-out rank correlation"] == pytest.approx(
        metadata.hold_out[0].spearman
    )
    (properties,) = page.data["sections"]["attention"]["sets"].values()
    by_name = {row["property"]: row for row in properties}
    assert by_name["FLOPs"]["measured"] == pytest.approx(1.0)  # these labels grow with the FLOPs
    assert by_name["FLOPs"]["predicted"] > 0.9
