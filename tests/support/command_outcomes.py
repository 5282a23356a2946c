"""What must have come out of a command of the documentation, by the command's name."""

from __future__ import annotations

import ast
import contextlib
import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from orchestrator.predictors.generations import champion_number, pinned_number
from orchestrator.store.delta import DeltaLabelStore
from tests.support.command_lines import parse
from tests.support.label_in_process import Printed


@dataclass(frozen=True, slots=True)
class Outcome:
    """A command that ended with exit code 0. before: rows of each store of the folder, before it ran."""

    words: list[str]
    folder: Path
    printed: Printed
    before: Mapping[Path, int]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        """The folder of the command's store."""
        return self.folder / (self.options.get("store") or "labels")

    @property
    def added(self) -> list[dict[str, Any]]:
        """Rows that the command added to its store, in the order of the table."""
        rows: list[dict[str, Any]] = DeltaLabelStore(self.store).labels().to_pylist()
        assert len(rows) > self.before.get(self.store, 0), "no label was added"
        return rows


def count_labels(folder: Path) -> dict[Path, int]:
    """Return the number of labels in each store in a folder."""
    stores = {path.parents[2] for path in folder.rglob("labels/_delta_log/*.json")}
    return {store: len(DeltaLabelStore(store).keys()) for store in stores}


def check_outcome(words: list[str], folder: Path, printed: Printed, before: Mapping[Path, int]) -> None:
    """Raise AssertionError if what a command left is not what it is for. Every command has a check."""
    with contextlib.chdir(folder):  # it loads the recipe
        context = parse(words)
    outcome = Outcome(words, folder, printed, before, dict(context.params))
    CHECKS[words[0]](outcome)
    out = outcome.options.get("out")
    if out is not None:
        assert (folder / out).stat().st_size > 50, f"--out {out} is empty"


def _label(outcome: Outcome) -> None:
    options, rows = outcome.options, outcome.added
    networks = 0 if options["architectures"] and "--num" not in outcome.words else options["num"]
    if options["architectures"]:
        networks += len(_csv_rows(outcome.folder / options["architectures"]))
    tasks = {options["task"], *filter(None, (options["also"] or "").split(","))}
    new = len(rows) - outcome.before.get(outcome.store, 0)
    assert new == networks * options["repeat"] * len(tasks) + options["audit"] * options["repeat"]
    assert tasks <= {row["task"] for row in rows}
    assert options["fidelity"] in {row["fidelity"] for row in rows}
    assert all(row["flops"] > 0 for row in rows)


def _search(outcome: Outcome) -> None:
    assert len(outcome.added) >= 5  # four in rounds, and the reference
    export = outcome.folder / outcome.options["export"]
    assert {"network.py", "weights.safetensors", "network.json"} <= {path.name for path in export.iterdir()}
    ast.parse((export / "network.py").read_text())
    assert json.loads((export / "network.json").read_text())["genotype"]


def _suggest(outcome: Outcome) -> None:
    assert len(_csv_rows(outcome.folder / outcome.options["out"])) == outcome.options["num"]


def _labels(outcome: Outcome) -> None:
    stored = outcome.before[outcome.store]
    if out := outcome.options["out"]:
        assert pq.read_table(outcome.folder / out).num_rows == stored
    else:
        assert len(outcome.printed.out.splitlines()) > stored


def _status(outcome: Outcome) -> None:
    assert "Labels" in outcome.printed.out
    assert str(outcome.before[outcome.store]) in outcome.printed.out


def _import(outcome: Outcome) -> None:
    assert outcome.added


def _graph(outcome: Outcome) -> None:
    options = outcome.options
    if options["json"]:
        assert outcome.printed.document["flops"] > 0
    else:
        assert "FLOPs" in outcome.printed.out or "flops" in outcome.printed.out
    if options.get("svg"):
        assert "</svg>" in (outcome.folder / options["svg"]).read_text()
    if options.get("out"):
        assert len(json.loads((outcome.folder / options["out"]).read_text())["nodes"]) > 3


def _train(outcome: Outcome) -> None:
    number = champion_number(outcome.folder / "predictors")
    assert number is not None
    assert f"predictors/{number}" in outcome.printed.out or str(number) in outcome.printed.out


def _refresh(outcome: Outcome) -> None:
    assert "decision" in outcome.printed.out
    assert champion_number(outcome.folder / "predictors") is not None


def _generations(outcome: Outcome) -> None:
    root = outcome.folder / "predictors"
    match outcome.words[1:]:
        case ["pin", number]:
            assert pinned_number(root) == champion_number(root) == int(number)
        case ["rollback"]:
            assert pinned_number(root) == champion_number(root)
        case _:
            assert len(outcome.printed.out.splitlines()) >= 2


def _each_network(outcome: Outcome) -> None:
    names = [word for word in outcome.words if word.startswith("timm:")]
    lines = outcome.printed.out.splitlines()
    for name in names:
        (line,) = [line for line in lines if line.split() and line.split()[0] == name]
        assert float(line.split()[1]) > 0


def _latency(outcome: Outcome) -> None:
    _each_network(outcome)
    if outcome.options["store"]:
        assert {row["task"] for row in outcome.added} == {"latency"}


def _evaluate(outcome: Outcome) -> None:
    lines = outcome.printed.out.splitlines()
    for model in outcome.options["model"]:
        assert any(model in line for line in lines), model


def _report(outcome: Outcome) -> None:
    page = (outcome.folder / outcome.options["out"]).read_text()
    assert 'id="report-data"' in page
    assert "</html>" in page


def _space(outcome: Outcome) -> None:
    assert "passed" in outcome.printed.out


def _fetch_weights(outcome: Outcome) -> None:
    (path,) = [line.split(": ")[1] for line in outcome.printed.out.splitlines() if line.startswith("path: ")]
    assert Path(path).stat().st_size > 1_000_000


def _csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


CHECKS: dict[str, Callable[[Outcome], None]] = {
    "label": _label,
    "search": _search,
    "suggest": _suggest,
    "labels": _labels,
    "status": _status,
    "import": _import,
    "graph": _graph,
    "train": _train,
    "refresh": _refresh,
    "generations": _generations,
    "predict": _each_network,
    "latency": _latency,
    "evaluate": _evaluate,
    "report": _report,
    "space": _space,
    "fetch-weights": _fetch_weights,
}
