"""The page needs nothing else, whatever a store holds, and however little."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from orchestrator.errors import ConfigError
from orchestrator.report.blocks import SectionBody, Text
from orchestrator.report.chosen import MAX_DESCRIBED
from orchestrator.report.contents import ReportContents, read_contents
from orchestrator.report.page import build_report
from orchestrator.report.section import Section
from orchestrator.report.sections import SECTIONS
from orchestrator.store.delta import DeltaLabelStore
from orchestrator.store.schema import report_rows
from tests.support.html_page import HtmlPage
from tests.support.reported_store import make_store, reports

HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=http://evil.example/x onerror=alert(1)>',
    "$\\frac{x}$ & <b>\x00\x1b",
    "]]></style><svg onload=alert(1)>",
)


def page_of(store: Path) -> HtmlPage:
    return HtmlPage(build_report(contents_of(store)).html)


def contents_of(store: Path) -> ReportContents:
    return read_contents(DeltaLabelStore(store), str(store), store / "none")


def in_memory(rows: list[dict[str, Any]], folder: Path, attempts: list[dict[str, Any]] | None = None) -> ReportContents:
    return ReportContents(str(folder / "labels"), 3, rows, attempts or [], folder / "none", "2026-01-01T00:00:00+00:00")


def assert_loads_nothing(page: HtmlPage) -> None:
    """Check that no element fetches anything or runs code."""
    assert page.tags["script"] == 1
    assert not page.tags.keys() & {"link", "iframe", "object", "embed", "base", "form", "image", "foreignobject"}
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name, value)
        if name in ("src", "srcset", "data", "action", "poster"):
            assert value.startswith("data:image/jpeg;base64,"), (tag, name, value)
        if name in ("href", "xlink:href"):
            assert value.startswith("#"), (tag, name, value)
        if name == "style" or name == "clip-path":
            assert "url(" not in value.replace("url(#", ""), (tag, name, value)
    assert ("script", "type", "application/json") in page.attributes
    policy = [value for tag, name, value in page.attributes if tag == "meta" and name == "content" and "-src" in value]
    assert policy == [
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    ]


def test_a_page_loads_nothing(tmp_path: Path) -> None:
    html = build_report(contents_of(make_store(tmp_path))).html
    assert_loads_nothing(HtmlPage(html))
    assert "@import" not in html
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "prefers-color-scheme: dark" in style


def test_names_of_a_store_are_text(tmp_path: Path) -> None:
    rows = report_rows(reports(4)).labels
    attempts = report_rows(reports(4)).attempts
    for number, row in enumerate(rows):
        for place, name in enumerate(("architecture", "space", "task", "data", "recipe_name", "metric", "genotype")):
            row[name] = f"{HOSTILE[(number // 12 + place) % len(HOSTILE)]} {row[name]}"
    for attempt in attempts:
        attempt |= {"outcome": HOSTILE[0], "message": HOSTILE[1], "final": True}
    page = HtmlPage(build_report(in_memory(rows, tmp_path, attempts)).html)
    assert_loads_nothing(page)
    assert page.tags["img"] == page.tags["b"] == 0
    assert "alert(1)" in page.text  # it is shown, as text
    assert page.data["label_count"] == len(rows)


@pytest.mark.parametrize("exists", [True, False])
def test_an_empty_store_says_what_to_do(tmp_path: Path, exists: bool) -> None:
    if exists:
        DeltaLabelStore(tmp_path / "labels").commit([])
    made = build_report(contents_of(tmp_path / "labels"))
    page = HtmlPage(made.html)
    assert set(made.missing) == {section.key for section in SECTIONS}
    assert all("`orchestrator " in reason and "\n" not in reason for reason in made.missing.values()), made.missing
    assert all(reason.replace("`", "") in page.text for reason in made.missing.values())
    assert not page.tags["svg"]


def test_one_label_is_enough(tmp_path: Path) -> None:
    DeltaLabelStore(tmp_path / "labels").commit(reports(1)[:1])
    made = build_report(contents_of(tmp_path / "labels"))
    page = HtmlPage(made.html)
    empty = {name for name, reason in made.missing.items() if reason}
    assert empty == {"noise", "audits", "generations", "predictions", "attention", "searches"}
    (row,) = page.tables["Labels by task, space and recipe"]
    assert (row["labels"], row["lowest"]) == (1, reports(1)[0].measurement.value)  # type: ignore[union-attr]
    assert page.data["sections"]["value-and-cost"]["groups"][0]["spearman"] == {"flops": None, "params": None}


def test_every_chart_has_a_text_a_table_and_named_axes(tmp_path: Path) -> None:
    html = build_report(contents_of(make_store(tmp_path))).html
    for part in html.split("<figure>")[1:]:
        figure = HtmlPage(part[: part.index("</figure>")])
        assert figure.tags["table"] >= 1
        labels = [value for tag, name, value in figure.attributes if tag == "svg" and name == "aria-label"]
        assert len(labels) == 1
        assert len(labels[0]) > 30
        assert figure.tags["text"] >= 4  # ticks, and the names of two axes
        assert ("g", "clip-path", "") not in figure.attributes
    assert html.count("<figure>") >= 8


def test_ten_thousand_labels_fit(tmp_path: Path) -> None:
    template = report_rows(reports(1)).labels[0]
    rows = [
        template
        | {
            "key": f"{number:032x}",
            "architecture": f"{number // 2:016x}",
            "genotype": '{"ops":["nor_conv_1x1","nor_conv_1x1","nor_conv_1x1","skip_connect","none","avg_pool_3x3"]}',
            "task": ("seg", "det")[number % 4 // 2],
            "seed": number % 2,
            "value": 0.3 + (number * 7919 % 1000) / 2500,
            "flops": 1e7 * (1 + number * 104729 % 997),
        }
        for number in range(10_000)
    ]
    made = build_report(in_memory(rows, tmp_path))
    page = HtmlPage(made.html)
    assert len(made.html.encode()) < 10_000_000
    assert len(page.data["labels"]["key"]) == page.data["label_count"] == 10_000
    assert page.tags["article"] == MAX_DESCRIBED
    assert "A random 500 of the 2500 networks are drawn, and the whole front." in page.text
    assert "100 of 2,500 rows; all: orchestrator labels" in page.text


def test_pictures_of_predictions_are_shown(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    key = DeltaLabelStore(store).labels(task="seg", fidelity="full").to_pylist()[0]["key"]
    folder = store / "_images" / f"seg-{key}"
    folder.mkdir(parents=True)
    Image.new("RGB", (1200, 400), "red").save(folder / "0.png")
    (folder / "1.png").write_text("no picture")
    page = page_of(store)
    assert page.tags["img"] == 1
    assert_loads_nothing(page)
    (text,) = [value for tag, name, value in page.attributes if tag == "img" and name == "alt"]
    assert text.startswith("seg, image 1, seed ")
    assert "annotation left, prediction right" in text


def test_a_section_is_one_registration(tmp_path: Path) -> None:
    extra = Section(
        "search", "Search", lambda contents: SectionBody((Text("found <it>"),), {"version": contents.version})
    )
    made = build_report(in_memory([], tmp_path), (*SECTIONS, extra))
    page = HtmlPage(made.html)
    assert "search" in page.ids
    assert "found <it>" in page.text
    assert page.data["sections"]["search"] == {"version": 3}


def test_without_matplotlib_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "orchestrator.report.plotting.find_spec", lambda name: None if name == "matplotlib" else found(name)
    )
    with pytest.raises(ConfigError, match=r"pip install 'aiop-orchestrator\[plots\]'"):
        build_report(in_memory([], tmp_path))


def test_values_that_are_no_numbers_do_not_spoil_the_data(tmp_path: Path) -> None:
    first, *others = reports(3)
    assert first.measurement is not None
    broken = dataclasses.replace(first, measurement=dataclasses.replace(first.measurement, value=float("nan")))
    rows = report_rows([broken, *others]).labels
    page = HtmlPage(build_report(in_memory(rows, tmp_path)).html)
    assert page.data["labels"]["value"].count(None) == 1
