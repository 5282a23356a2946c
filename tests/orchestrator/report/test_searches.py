"""The section on searches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.report.contents import ReportContents, read_contents
from orchestrator.report.page import build_report
from orchestrator.report.sections import searches
from orchestrator.search.record import open_records
from orchestrator.store.delta import DeltaLabelStore
from orchestrator.store.layout import searches_uri
from tests.support.html_page import HtmlPage
from tests.support.labelled_networks import labelled


def _row(name: str, flops: float, value: float, **fields: Any) -> dict[str, Any]:
    numbers = {"value": value, "values": {"seg": value}, "flops": flops, "params": 1e5, "within": True}
    return {"architecture": name * 16, "genotype": f'{{"x":"{name}"}}', **numbers, **fields}


COMPARED = {"value": 0.61, "difference": 0.02, "low": 0.011, "high": 0.029, "verdict": "better"}
BEST = _row("b", 5e7, 0.5, verified={"seg": COMPARED})
RESULT = {
    "search": "abc", "task": "seg", "space": "cells", "data": "shapes", "labels": 8, "seconds": 90.0, "axis": "flops",
    "limits": {"flops": 6e7}, "front": [_row("a", 3e7, 0.4), BEST], "verified": [BEST], "winner": BEST, "problem": None,
    "reference": _row("r", 1e8, 0.52, verified={"seg": 0.59}),
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Path:
    DeltaLabelStore(tmp_path / "labels").commit([labelled(1)])
    return tmp_path / "labels"


def _contents(store: Path) -> ReportContents:
    return read_contents(DeltaLabelStore(store), str(store), store / "none")


def test_the_section_shows_what_the_search_printed(store: Path) -> None:
    open_records(searches_uri(str(store))).save_result("abc", RESULT)
    page = HtmlPage(build_report(_contents(store)).html)
    assert page.data["sections"]["searches"]["searches"] == [RESULT]
    assert searches.verified_rows(RESULT) == [
        {"genotype": '{"x":"b"}', "flops": 5e7, "params": 1e5, "task": "seg", "value": 0.5, "difference": 0.02}
        | {"low": 0.011, "high": 0.029, "verdict": "better", "verified": 0.61}
    ]
    (row,) = page.tables["Search abc: verified networks"]
    assert (row["architecture"], row["verdict"]) == ('{"x":"b"}', "better")
    assert (row["verified"], row["FLOPs"], row["difference to the reference"]) == (0.61, 5e7, 0.02)
    assert len(page.tables["Search abc: front"]) == 2


def test_a_search_without_front_and_verification_is_shown_in_words(store: Path) -> None:
    ended = {"front": [], "verified": [], "winner": None, "problem": "interrupted", "limits": {}, "reference": None}
    open_records(searches_uri(str(store))).save_result("abc", RESULT | ended)
    body = searches.SECTION.build(_contents(store))
    assert any("no limits" in getattr(block, "text", "") for block in body.blocks)
    assert any("ended early: interrupted" in getattr(block, "text", "") for block in body.blocks)


def test_without_a_search_the_section_names_the_command(store: Path) -> None:
    assert "orchestrator search" in searches.SECTION.build(_contents(store)).missing
