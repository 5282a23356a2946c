"""Tables: human numbers, columns by width, no box on a pipe."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from orchestrator.cli.tables import Column, flattened, print_fields, print_table
from orchestrator.number_text import duration, human, si_number

ROWS = [
    {
        "architecture": "398f44c18e6adcb7",
        "space": "nasbench201",
        "value": 0.25612,
        "flops": 69_240_000,
        "note": "a" * 30,
    },
    {"architecture": "97e7a4b741733274", "space": "nasbench201", "value": None, "flops": 4.09e9, "note": "b" * 30},
]
COLUMNS = (
    Column("architecture"),
    Column("space", rank=1),
    Column("value"),
    Column("flops", "FLOPs"),
    Column("note", rank=2),
)


def printed(width: int, terminal: bool) -> str:
    out = io.StringIO()
    print_table(Console(file=out, width=width, force_terminal=terminal, color_system=None), ROWS, COLUMNS)
    return out.getvalue()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (69_240_000, "69.2 M"),
        (4.09e9, "4.09 G"),
        (999.6, "1.00 K"),
        (512, "512"),
        (2.5e12, "2.50 T"),
        (0, "0"),
        (0.5, "0.50"),
    ],
)
def test_si_numbers_have_three_digits_and_a_unit(value: float, text: str) -> None:
    assert si_number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.84, "0.84 s"), (12.34, "12.3 s"), (250, "4 min 10 s"), (3599.6, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("value", 0.25612, "0.256"),
        ("value", 0.00001234, "1.23e-05"),
        ("value", float("nan"), "-"),
        ("value", None, "-"),
        ("labels", 12345, "12,345"),
        ("params", 11_689_512, "11.7 M"),
        ("seconds", 61.0, "1 min 01 s"),
        ("pinned", True, "yes"),
        ("sets", ["a", "b"], "a, b"),
        ("figures", {"low": 0.5, "high": None}, "low 0.500, high -"),
    ],
)
def test_values_are_written_by_what_they_count(key: str, value: object, text: str) -> None:
    assert human(key, value) == text


def test_a_narrow_terminal_shows_whole_cells_of_the_columns_that_fit() -> None:
    text = printed(60, terminal=True)
    assert "398f44c18e6adcb7" in text
    assert "0.256" in text
    assert "69.2 M" in text
    assert "…" not in text
    assert "aaa" not in text
    assert "not shown: note" in text
    assert max(map(len, text.splitlines())) <= 60


def test_columns_are_dropped_by_rank() -> None:
    assert "not shown: space, note" in printed(45, terminal=True)
    assert "not shown" not in printed(200, terminal=True)


def test_a_pipe_gets_all_columns_aligned_and_no_box() -> None:
    lines = printed(40, terminal=False).splitlines()
    assert lines[0].split() == ["architecture", "space", "value", "FLOPs", "note"]
    assert lines[1].index("nasbench201") == lines[2].index("nasbench201") == lines[0].index("space")
    assert all(character.isascii() for line in lines for character in line)


def test_nested_fields_are_tables_of_their_own() -> None:
    out = io.StringIO()
    document = {
        "labels": 2,
        "best": {"architecture": "ab", "flops": 1e9},
        "also": {"det": {"labels": 2, "lowest": 0.1}, "seg": {"labels": 3, "lowest": 0.2}},
    }
    print_fields(Console(file=out, width=80, force_terminal=False), document)
    text = out.getvalue()
    assert text.startswith("labels: 2\n\nbest\narchitecture: ab\nflops: 1.00 G\n\nalso\nname  labels  lowest\n")
    assert "{" not in text


def test_flattened_names_the_outer_field() -> None:
    assert flattened({"a": 1, "b": {"c": 2}}) == {"a": 1, "b c": 2}
