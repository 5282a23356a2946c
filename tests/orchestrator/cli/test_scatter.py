"""The scatter plot that ends a campaign."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from orchestrator.cli.scatter import print_scatter

POINTS = [(30e6, 0.25), (53.2e6, 0.294), (71.5e6, 0.28), (124e6, 0.305)]


def drawn(points: list[tuple[float, float]], width: int = 80, terminal: bool = True) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system=None)
    console._environ = {"TERM": "xterm"}
    print_scatter(console, points, "mIoU")
    return out.getvalue()


def test_marks_the_front_and_names_the_axes() -> None:
    text = drawn(POINTS)
    plot, _, legend = text.rpartition("└")
    assert plot.count("●") == 3  # 71.5 M is beaten by 53.2 M
    assert plot.count("○") == 1
    assert "FLOPs" in legend
    assert "mIoU" in legend
    assert "30.0 M" in legend
    assert "124 M" in legend


@pytest.mark.parametrize("width", [50, 80, 100, 200])
def test_fits_into_the_terminal(width: int) -> None:
    lines = drawn(POINTS, width).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) == 15


def test_has_no_escape_codes() -> None:
    assert "\x1b" not in drawn(POINTS)


@pytest.mark.parametrize(
    ("points", "width", "terminal"), [(POINTS, 80, False), (POINTS, 40, True), (POINTS[:2], 80, True), ([], 80, True)]
)
def test_prints_nothing_where_it_is_no_help(points: list[tuple[float, float]], width: int, terminal: bool) -> None:
    assert drawn(points, width, terminal) == ""


def test_prints_nothing_where_the_terminal_has_no_such_characters() -> None:
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_scatter(Console(file=raw, width=80, force_terminal=True), POINTS, "mIoU")
    raw.flush()
    assert raw.buffer.getvalue() == b""  # type: ignore[attr-defined]


def test_draws_networks_of_equal_value_and_cost() -> None:
    same = [(1e6, 0.5)] * 3
    assert drawn(same) == ""
    assert "●" in drawn([(1e6, 0.5), (1e6, 0.6), (1e6, 0.7)])
