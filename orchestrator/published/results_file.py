"""Files of published results: CSV, plain or gzipped, one result a line."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import ConfigError
from orchestrator.published.image_size import image_size

REQUIRED = ("model", "task", "dataset", "metric", "value")
_SIZE = "224"
_RECIPE = "published"


@dataclass(frozen=True, slots=True)
class Result:
    """One line. line: its number, from 1 for the header. input_size: height and width."""

    line: int
    model: str
    task: str
    dataset: str
    metric: str
    value: float
    input_size: tuple[int, int]
    recipe: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that is not taken, and why."""

    line: int
    model: str
    reason: str


def read_results(path: Path) -> tuple[list[Result], list[Refused]]:
    """The results of a file, and the lines that are none.

    Raises ConfigError for a file that cannot be read as CSV, or lacks a column.
    """
    results, refused = list[Result](), list[Refused]()
    for line, row in _rows(path):
        try:
            results.append(_result(line, row))
        except ValueError as error:
            refused.append(Refused(line, row.get("model") or "", str(error)))
    return results, refused


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
            if missing:
                raise ConfigError(
                    f"{path}: has no column {', '.join(missing)}: needs {', '.join(REQUIRED)}, and may have "
                    "input_size, recipe"
                )
            for row in reader:
                yield reader.line_num, row
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read ({error}): name a CSV file, or one that is gzipped") from None


def _result(line: int, row: Mapping[str, str | None]) -> Result:
    """Raises ValueError with the reason where a line is no result."""
    for name in REQUIRED:
        if not (row.get(name) or "").strip():
            raise ValueError(f"no {name}")
    text = str(row["value"])
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"value {text} is no number") from None
    if not math.isfinite(value):
        raise ValueError(f"value {text} is not finite")
    try:
        size = image_size((row.get("input_size") or _SIZE).strip())
    except ValueError as error:
        raise ValueError(f"input_size {error}") from None
    return Result(
        line=line,
        model=str(row["model"]).strip(),
        task=str(row["task"]).strip(),
        dataset=str(row["dataset"]).strip(),
        metric=str(row["metric"]).strip(),
        value=value,
        input_size=size,
        recipe=row.get("recipe") or _RECIPE,
    )
