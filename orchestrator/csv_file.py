"""Read CSV files as people have them: any usual delimiter, any case of column names, a mark at the beginning."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from predictor.text_files import decode

_DELIMITERS = (",", ";", "\t", "|")
_GZIP = b"\x1f\x8b"
_EXCEL = re.compile(r"sep=(.)\s*")  # a first line that names the delimiter
_SHOWN_COLUMNS = 12


class CsvError(Exception):
    """A file that is no CSV file, or has a column missing or twice. The text says what, without the path.

    is_header: whether the first line lacks columns.
    """

    def __init__(self, text: str, is_header: bool = False) -> None:
        super().__init__(text)
        self.is_header = is_header


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A row. line: its first line in the file, from 1. cells: by column name; absent cells are empty.

    problem: why the line is no row, in words; empty if it is one. missing: the number of absent cells.
    """

    line: int
    cells: Mapping[str, str]
    problem: str = ""
    missing: int = 0


def read_csv(path: Path, *required: Sequence[str]) -> list[CsvRow]:
    """Return the rows of a file, plain or gzipped. A broken line does not affect the others.

    required: alternative sets of columns, one of which the file must have. Column names are in lower case, with
    underscores for blanks and hyphens.

    Raises OSError, and CsvError for a file that is not text or lacks columns, or of which no line is a row.
    """
    content = path.read_bytes()
    try:
        text = decode(gzip.decompress(content) if content.startswith(_GZIP) else content)
    except (EOFError, gzip.BadGzipFile, zlib.error, ValueError) as error:
        raise CsvError(f"cannot be read ({error})") from None
    lines = list(io.StringIO(text, newline=""))
    start = 1 if lines and _EXCEL.fullmatch(lines[0]) else 0
    header, delimiter = _header(lines[start] if len(lines) > start else "", required)
    rows = list(_rows(lines, start + 1, header, delimiter))
    if rows and all(row.problem for row in rows):
        raise CsvError(f"cannot be read (line {rows[0].line}: {rows[0].problem})")
    return rows


def _header(line: str, required: Sequence[Sequence[str]]) -> tuple[list[str], str]:
    """Return column names and delimiter. Raises CsvError if no delimiter gives the required columns."""
    found = {delimiter: [_column(cell) for cell in _cells([line], delimiter)] for delimiter in _DELIMITERS}
    for delimiter, names in found.items():
        if any(set(alternative) <= set(names) for alternative in required):
            if twice := [name for name, count in Counter(names).items() if name and count > 1]:
                raise CsvError(f"has the column {', '.join(twice)} twice: remove one")
            return names, delimiter
    delimiter = max(_DELIMITERS, key=lambda d: len(found[d]))
    names = [name for name in found[delimiter] if name]
    missing = [name for name in required[0] if name not in names]
    shown = ", ".join(name[:30] for name in names[:_SHOWN_COLUMNS]) or "none"
    needs = ", or ".join(", ".join(alternative) for alternative in required)
    raise CsvError(f"has no column {', '.join(missing)}: needs {needs}; the first line has: {shown}", True)


def _cells(lines: Sequence[str], delimiter: str) -> list[str]:
    try:
        return next(csv.reader(lines, delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []


def _column(text: str) -> str:
    return re.sub(r"[\s-]+", "_", text.strip().lower())


def _rows(lines: Sequence[str], start: int, header: Sequence[str], delimiter: str) -> Iterator[CsvRow]:
    """Yield the rows from line number `start` on. A quote that is never closed costs its line only."""
    while start < len(lines):
        reader = csv.reader((lines[n] for n in range(start, len(lines))), delimiter=delimiter, strict=True)
        problem, cells, used = "", list[str](), 1
        try:
            cells = next(reader)
            used = reader.line_num
            if len(cells) > len(header):
                problem = f"{len(header)} columns are named, but this line has {len(cells)}: quote cells"
                used = 1
        except csv.Error as error:
            problem = f"{error}: check its quotes"
        if problem or any(cell.strip() for cell in cells):
            filled = [*cells, *[""] * (len(header) - len(cells))]
            stripped = dict(zip(header, map(str.strip, filled), strict=False))
            yield CsvRow(start + 1, stripped, problem, max(0, len(header) - len(cells)))
        start += used
