"""Files of results as people have them: what `orchestrator import` adds, refuses and says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.app import main
from orchestrator.predictors.label_sets import read_label_sets
from orchestrator.store.delta import DeltaLabelStore
from tests.support.wild_data import wild_data_folder

pytestmark = pytest.mark.real


class Importing:
    """Imports files into one store of the test."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.store, self._monkeypatch, self._capsys = folder / "labels", monkeypatch, capsys
        self.text = ""

    def __call__(self, name: str) -> dict[str, Any]:
        """Import a file and return the printed document, with the exit code as `code`; `text` holds the messages."""
        path = wild_data_folder("csv/") / "csv" / name
        arguments = ["orchestrator", "import", str(path), "--store", str(self.store), "--jobs", "1", "--json"]
        self._monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as ended:
            main()
        printed, self.text = self._capsys.readouterr()
        document: dict[str, Any] = json.loads(printed)
        return document | {"code": ended.value.code}

    def values(self) -> dict[tuple[str, str], float]:
        """Return the stored values by model and metric."""
        rows = DeltaLabelStore(self.store).labels().to_pylist()
        assert {row["seed"] for row in rows} <= {0}
        return {(json.loads(row["genotype"])["name"], row["metric"]): row["value"] for row in rows}


@pytest.fixture
def importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Importing:
    return Importing(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("name", ["ok.csv", "bom.csv", "semi.csv", "tab.csv", "case.csv"])
def test_marks_delimiters_and_case_of_headers_are_read(name: str, importing: Importing) -> None:
    printed = importing(name)
    assert (printed["code"], printed["rows"], printed["added"]) == (0, 2, 2)
    assert importing.values() == {("resnet10t", "top1"): 0.663, ("resnet14t", "top1"): 0.7231}


def test_metrics_of_one_network_are_two_labels_of_two_sets(importing: Importing) -> None:
    assert importing("long.csv")["added"] == 4
    assert importing.values() == {
        ("resnet10t", "top1"): 0.663,
        ("resnet10t", "top5"): 0.870,
        ("resnet14t", "top1"): 0.723,
        ("resnet14t", "top5"): 0.905,
    }
    sets, _ = read_label_sets(DeltaLabelStore(importing.store))
    assert {labels.name: sorted(labels.values.tolist()) for labels in sets} == {
        "timm/cls/imagenet-1k": [0.663, 0.723],
        "timm/cls/imagenet-1k@top5": [0.870, 0.905],
    }
    assert (importing("long.csv")["known"], len(importing.values())) == (4, 4)


def test_an_identical_row_is_reported_and_not_added(importing: Importing) -> None:
    printed = importing("dup.csv")
    assert (printed["code"], printed["added"], len(printed["repeated"])) == (0, 1, 1)
    assert "line 3: timm:resnet10t: not added: the same as line 2" in importing.text
    assert importing.values() == {("resnet10t", "top1"): 0.663}


def test_a_percentage_next_to_fractions_is_refused(importing: Importing) -> None:
    printed = importing("pct.csv")
    assert printed["code"] == 1
    assert importing.values() == {("resnet14t", "top1"): 0.7231}
    assert "76.3: top1 is from 0 to 1" in importing.text


def test_percentages_are_converted_and_that_is_said(importing: Importing) -> None:
    printed = importing("pctall.csv")
    assert printed["code"] == 0
    assert importing.values() == {("resnet10t", "top1"): 0.663, ("resnet14t", "top1"): 0.7231}
    assert "pctall.csv: note: top1 of cls on imagenet-1k: 2 percentages were divided by 100" in importing.text


def test_underscores_are_not_digits(importing: Importing) -> None:
    printed = importing("under.csv")
    assert (printed["code"], printed["added"]) == (1, 0)
    assert "6_63 is not a number" in importing.text


def test_a_corrected_value_is_reported_and_the_stored_one_stays(importing: Importing) -> None:
    importing("ok.csv")
    printed = importing("corrected.csv")
    assert (printed["code"], printed["known"], len(printed["differing"])) == (1, 1, 1)
    assert "line 2: timm:resnet10t: not changed: value 0.9 differs from the stored 0.663" in importing.text
    assert "or import a corrected value under another recipe" in importing.text
    assert importing.values()["resnet10t", "top1"] == 0.663


def test_a_task_in_capitals_is_refused_with_the_known_name(importing: Importing) -> None:
    printed = importing("task.csv")
    assert (printed["code"], printed["added"]) == (1, 0)
    assert "task CLS: is spelled cls" in importing.text


def test_a_size_beyond_all_memory_costs_its_line_only(importing: Importing) -> None:
    printed = importing("big.csv")
    assert (printed["code"], printed["added"], len(printed["refused"])) == (1, 1, 1)
    assert importing.values() == {("resnet10t", "top1"): 0.663}
