"""Decision records keep their keys in the file, and files of other versions are still read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.predictors.decisions import RefreshRecord, figures_to_json, read_records, write_record
from orchestrator.predictors.verdict import GateFigures, ScorePair, TaskFigures, Verdict
from predictor.metadata import HoldOutScores

PAIR = {"champion": 0.8, "candidate": 0.9}
TASK = {"task": "seg", "tested": 8, "score": PAIR, "error": PAIR, "tested_before": 0, "before": PAIR}
FIGURES = {"tested": 8, "pooled": PAIR, "low": 0.0, "high": 0.2, "tasks": [TASK]}
DOCUMENT = {
    "number": 2,
    "champion": 1,
    "decision": "promote",
    "reason": "better",
    "made": "2026-01-01T00:00:00+00:00",
    "store": "/labels",
    "version": 5,
    "labels": 40,
    "suspects": {"s/seg/d": ["a"]},
    "figures": FIGURES,
    "hold_out": [
        {
            "set": "s/seg/d",
            "task": "seg",
            "tested": 8,
            "mae": None,
            "spearman": 0.9,
            "kendall": None,
            "regret": None,
            "coverage": None,
        }
    ],
    "seconds": 1.5,
    "candidate": "_training/refresh-x",
    "done": True,
}
SCORES = ScorePair(0.8, 0.9)
RECORD = RefreshRecord(
    number=2,
    champion=1,
    verdict=Verdict.PROMOTE,
    reason="better",
    made="2026-01-01T00:00:00+00:00",
    store="/labels",
    version=5,
    new_labels=40,
    outliers={"s/seg/d": ["a"]},
    figures=GateFigures(8, SCORES, 0.0, 0.2, (TaskFigures("seg", 8, SCORES, SCORES, 0, SCORES),)),
    hold_out=(HoldOutScores(set_name="s/seg/d", task="seg", tested=8, spearman=0.9),),
    seconds=1.5,
    candidate="_training/refresh-x",
    done=True,
)


def read(folder: Path, document: Any) -> list[RefreshRecord]:
    """Return the records of a folder with one file that contains `document`."""
    (folder / "_decisions").mkdir(exist_ok=True)
    (folder / "_decisions" / "000002.json").write_text(json.dumps(document))
    return read_records(folder)


def test_a_record_keeps_the_keys_of_its_file(tmp_path: Path) -> None:
    write_record(tmp_path, RECORD)
    (path,) = (tmp_path / "_decisions").iterdir()
    assert path.name == "000002.json"
    assert json.loads(path.read_text()) == DOCUMENT
    assert list(json.loads(path.read_text())) == list(DOCUMENT)
    assert read_records(tmp_path) == [RECORD]
    assert figures_to_json(RECORD.figures) == FIGURES
    assert figures_to_json(None) is None


def test_unknown_and_missing_keys_are_accepted(tmp_path: Path) -> None:
    assert read(tmp_path, DOCUMENT | {"new": 1, "figures": FIGURES | {"new": 1}}) == [RECORD]
    needed = {key: DOCUMENT[key] for key in ("number", "champion", "decision", "store", "version", "candidate")}
    (record,) = read(tmp_path, needed)
    assert (record.verdict, record.done, record.figures, record.hold_out) == (Verdict.PROMOTE, True, None, ())


@pytest.mark.parametrize("figures", [{"pooled": PAIR}, FIGURES | {"low": None}, "none"])
def test_unreadable_figures_do_not_lose_the_record(tmp_path: Path, figures: object) -> None:
    (record,) = read(tmp_path, DOCUMENT | {"figures": figures, "done": False})
    assert (record.figures, record.done) == (None, False)


@pytest.mark.parametrize("document", [[], {}, DOCUMENT | {"decision": "perhaps"}, {"number": 10**400}])
def test_unreadable_records_are_skipped(tmp_path: Path, document: object) -> None:
    assert read(tmp_path, document) == []
