"""Read files of published results: CSV, plain or gzipped, with one result per line."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import ConfigError
from orchestrator.published.image_size import image_size
from orchestrator.published.network_functions import with_arguments

REQUIRED = ("model", "task", "dataset", "metric", "value")
OPTIONAL = ("arguments", "space", "input_size", "recipe")
_DEFAULT_INPUT_SIZE = "224"
_DEFAULT_RECIPE = "published"


@dataclass(frozen=True, slots=True)
class Result:
    """One result.

    line: its line number; the header is line 1. model: with its arguments. input_size: height and width in pixels.
    space: name that the user gives the space of the network; may be empty.
    """

    line: int
    model: str
    task: str
    dataset: str
    metric: str
    value: float
    input_size: tuple[int, int]
    recipe: str
    space: str = ""


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A line that is not imported, and the reason."""

    line: int
    model: str
    reason: str


def read_results(path: Path) -> tuple[list[Result], list[RejectedLine]]:
    """Return the results in a file, and the lines that are not valid results.

    Raises ConfigError for a file that cannot be read as CSV or has a column missing.
    """
    results, rejected = list[Result](), list[RejectedLine]()
    for line, row in _rows(path):
        try:
            results.append(_result(line, row))
        except ValueError as error:
            rejected.append(RejectedLine(line, row.get("model") or "", str(error)))
    return results, rejected


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    open_file = gzip.open if path.suffix == ".gz" else open
    try:
        with open_file(path, "rt", encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
            if missing:
                raise ConfigError(
                    f"{path}: has no column {', '.join(missing)}: needs {', '.join(REQUIRED)}, and may have "
                    f"{', '.join(OPTIONAL)}"
                )
            for row in reader:
                yield reader.line_num, row
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read ({error}): name a CSV file, or one that is gzipped") from None


def _result(line: int, row: Mapping[str, str | None]) -> Result:
    """Parse one row. Raises ValueError with the reason if it is not a valid result."""
    for name in REQUIRED:
        if not (row.get(name) or "").strip():
            raise ValueError(f"no {name}")
    text = str(row["value"])
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"value {text} is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"value {text} is not finite")
    try:
        size = image_size((row.get("input_size") or _DEFAULT_INPUT_SIZE).strip())
    except ValueError as error:
        raise ValueError(f"input_size {error}") from None
    return Result(
        line=line,
        model=with_arguments(str(row["model"]).strip(), (row.get("arguments") or "").strip()),
        task=str(row["task"]).strip(),
        dataset=str(row["dataset"]).strip(),
        metric=str(row["metric"]).strip(),
        value=value,
        input_size=size,
        recipe=row.get("recipe") or _DEFAULT_RECIPE,
        space=(row.get("space") or "").strip(),
    )
