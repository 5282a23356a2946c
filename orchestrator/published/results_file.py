"""Read files of published results: CSV, plain or gzipped, with one result per line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.csv_file import CsvError, read_csv
from orchestrator.errors import ConfigError
from orchestrator.published.image_size import image_size
from orchestrator.published.network_functions import with_arguments
from orchestrator.published.result import RejectedLine, Result
from orchestrator.published.units import check_units
from predictor.plain_numbers import plain_float, plain_int

REQUIRED = ("model", "task", "dataset", "metric", "value")
OPTIONAL = ("arguments", "space", "input_size", "recipe", "seed")
_DEFAULT_INPUT_SIZE = "224"
_DEFAULT_RECIPE = "published"


@dataclass(frozen=True, slots=True)
class ResultsFile:
    """The results in a file, the lines that are not valid results, and what the user should know about the rest."""

    results: list[Result]
    rejected: list[RejectedLine]
    notes: list[str]


def read_results_file(path: Path) -> ResultsFile:
    """Return the content of a file of results. Percentages are converted where the metric's range is known.

    Raises ConfigError for a file that cannot be read as CSV or has a column missing.
    """
    try:
        rows = read_csv(path, REQUIRED)
    except CsvError as error:
        raise ConfigError(f"{path}: {error}; it may have {', '.join(OPTIONAL)}") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror or error}): name a CSV file, or one that is gzipped"
        ) from None
    results, rejected = list[Result](), list[RejectedLine]()
    for row in rows:
        try:
            if row.problem:
                raise ValueError(row.problem)
            results.append(_result(row.line, row.cells))
        except ValueError as error:
            rejected.append(RejectedLine(row.line, row.cells.get("model", ""), str(error)))
    checked = check_units(results)
    rejected += [RejectedLine(result.line, result.model, reason) for result, reason in checked.rejected]
    return ResultsFile(checked.results, sorted(rejected, key=lambda line: line.line), checked.notes)


def read_results(path: Path) -> tuple[list[Result], list[RejectedLine]]:
    """Return the results in a file, and the lines that are not valid results. See `read_results_file`."""
    file = read_results_file(path)
    return file.results, file.rejected


def _result(line: int, row: Mapping[str, str]) -> Result:
    """Parse one row. Raises ValueError with the reason if it is not a valid result."""
    for name in REQUIRED:
        if not row[name]:
            raise ValueError(f"no {name}")
    try:
        value = plain_float(row["value"])
    except ValueError as error:
        raise ValueError(f"value {error}") from None
    try:
        size = image_size(row.get("input_size") or _DEFAULT_INPUT_SIZE)
    except ValueError as error:
        raise ValueError(f"input_size {error}") from None
    try:
        seed = plain_int(row["seed"], least=0) if row.get("seed") else None
    except ValueError as error:
        raise ValueError(f"seed {error}") from None
    return Result(
        line=line,
        model=with_arguments(row["model"], row.get("arguments", "")),
        task=row["task"],
        dataset=row["dataset"],
        metric=row["metric"],
        value=value,
        input_size=size,
        recipe=row.get("recipe") or _DEFAULT_RECIPE,
        space=row.get("space", ""),
        seed=seed,
    )
