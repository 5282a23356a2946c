"""Tables for people: human numbers, columns chosen by the terminal's width, plain aligned text on a pipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.number_text import human

Row = Mapping[str, Any]
_GAP = 2  # blanks between two columns


@dataclass(frozen=True, slots=True)
class Column:
    """One column. rank: where the terminal is too narrow, columns of the highest rank are left out first."""

    key: str
    title: str = ""
    rank: int = 0

    @property
    def header(self) -> str:
        """Its title, or its key without underscores."""
        return self.title or self.key.replace("_", " ")

    def cell(self, row: Row) -> str:
        """The text of a row's value."""
        return bounded(self.key, row)


def bounded(key: str, row: Row) -> str:
    """A value of a row as people read it, marked if the row says that it is a lower bound."""
    text = human(key, row.get(key))
    return f">= {text}" if row.get(f"{key}_lower_bound") else text


def print_table(console: Console, rows: Sequence[Row], columns: Sequence[Column], title: str = "") -> None:
    """All rows under their headers; on a terminal only the columns that fit."""
    if not console.is_terminal:
        _print_plain(console, rows, columns, title)
        return
    shown = _fitting(rows, columns, console.width)
    _print_title(console, title)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column in shown:
        numeric = any(isinstance(row.get(column.key), int | float) for row in rows)
        table.add_column(Text(column.header), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(column.cell(row)) for column in shown))
    console.print(table)
    if hidden := [column.header for column in columns if column not in shown]:
        console.print(Text(f"not shown: {', '.join(hidden)} (use a wider terminal or --json)", style="dim"))


def print_fields(console: Console, fields: Row, title: str = "") -> None:
    """One line per field. Each nested value follows as a separate table under its name."""
    flat = {name: value for name, value in fields.items() if not _is_nested(value)}
    if flat or not console.is_terminal:
        _print_title(console, title)
    if not console.is_terminal:
        for name in flat:
            print(f"{name.replace('_', ' ')}: {bounded(name, fields)}", file=console.file)
    elif flat:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name in flat:
            table.add_row(Text(name.replace("_", " ")), Text(bounded(name, fields)))
        console.print(table)
    for name, value in fields.items():
        if _is_nested(value):
            _print_nested(console, name.replace("_", " "), value)


def _print_nested(console: Console, title: str, value: Any) -> None:
    """A mapping of mappings and a list of mappings are tables, a plain mapping is a list of fields."""
    if not value:
        return
    if isinstance(value, list):
        print_table(console, value, [Column(name) for name in value[0]], title)
    elif all(isinstance(inner, Mapping) for inner in value.values()):
        rows = [{"name": name, **flattened(inner)} for name, inner in value.items()]
        print_table(console, rows, [Column(name) for name in rows[0]], title)
    else:
        print_fields(console, value, title)


def flattened(row: Row) -> dict[str, Any]:
    """The row with the fields of nested mappings moved up, named `outer inner`."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{name} {inner}": content for inner, content in value.items()}
        else:
            flat[name] = value
    return flat


def _is_nested(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _fitting(rows: Sequence[Row], columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that fit side by side, at least those of the lowest rank, in their order."""
    shown, widths = list(columns), {column: _width(rows, column) + _GAP for column in columns}
    while sum(widths[column] for column in shown) > width:
        highest = max(column.rank for column in shown)
        if highest == min(column.rank for column in shown):
            break
        shown.remove([column for column in shown if column.rank == highest][-1])
    return shown


def _print_title(console: Console, title: str) -> None:
    """A title after a blank line; nothing for an empty title."""
    if title and console.is_terminal:
        console.print(Text(f"\n{title}", style="bold"))
    elif title:
        print(f"\n{title}", file=console.file)


def _width(rows: Sequence[Row], column: Column) -> int:
    return max([len(column.header), *(len(column.cell(row)) for row in rows)])


def _print_plain(console: Console, rows: Sequence[Row], columns: Sequence[Column], title: str) -> None:
    """Aligned columns without a box, none left out."""
    _print_title(console, title)
    widths = [_width(rows, column) for column in columns]
    for cells in ([column.header for column in columns], *([column.cell(row) for column in columns] for row in rows)):
        line = (" " * _GAP).join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        print(line.rstrip(), file=console.file)
