"""`orchestrator report`: its options, --watch, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.cli import report as module
from orchestrator.store.delta import DeltaLabelStore
from tests.support.exit_codes import exit_code
from tests.support.html_page import HtmlPage
from tests.support.reported_store import reports


def test_a_report_is_written_and_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    DeltaLabelStore(tmp_path / "labels").commit(reports(2))
    monkeypatch.chdir(tmp_path)
    assert exit_code(monkeypatch, "report", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    page = tmp_path / "report.html"
    assert (document["report"], document["labels"], document["bytes"]) == ("report.html", 14, page.stat().st_size)
    assert set(document["empty_sections"]) == {"noise", "generations", "predictions", "attention", "searches"}
    assert HtmlPage(page.read_text()).data["label_count"] == 14


def test_watch_writes_only_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, out, looks = DeltaLabelStore(tmp_path / "labels"), tmp_path / "page.html", 0
    made = reports(3)
    seen = list[tuple[int, int]]()  # labels in the page, and the file's identity

    def wait(seconds: float) -> None:
        nonlocal looks
        assert seconds == 2.0
        page = out.read_text()
        seen.append((HtmlPage(page).data["label_count"], out.stat().st_ino))
        assert [path.name for path in tmp_path.glob("*page.html*")] == ["page.html"]
        looks += 1
        if looks == 4:
            raise KeyboardInterrupt
        if looks != 2:
            store.commit(made[looks : looks + 1])

    monkeypatch.setattr(module.time, "sleep", wait)
    folder = tmp_path / "predictors"
    module.report(store=str(tmp_path / "labels"), predictors=folder, out=out, watch=True, every=2.0, json=True)
    assert [count for count, _ in seen] == [0, 1, 1, 2]
    assert seen[1] == seen[2]
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [document["labels"] for document in documents] == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--out", "report.pdf"], "--out report.pdf: name a file that ends in .html"),
        (["--out", "nowhere/report.html"], "nowhere does not exist: name a file in an existing folder"),
        (["--out", "folder.html"], "--out folder.html: is a folder: name a file in an existing folder"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    (tmp_path / "folder.html").mkdir()
    monkeypatch.chdir(tmp_path)
    code = exit_code(monkeypatch, "report", *arguments)
    said = capsys.readouterr().err
    assert code == 2
    assert says in said
    assert said.count("\n") == 1
