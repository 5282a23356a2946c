"""Given architectures: a CSV or JSON file of names and genotypes, of any spaces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.csv_file import CsvError, read_csv
from orchestrator.errors import ConfigError
from predictor.errors import AIOPError
from predictor.text_files import parse_json, read_text
from workers.messages.architecture import Architecture
from workers.spaces import get_space
from workers.spaces.names import architecture_named

_FORM = "columns model, or space and genotype"
_SHOWN = 20  # problems that an error lists


def read_architectures(path: Path) -> tuple[Architecture, ...]:
    """Return the architectures of a file, each once, in the order of their first line.

    A CSV file has a column `model` with names such as timm:resnet50 or nasbench201:|...|, or columns `space` and
    `genotype` with JSON; other columns are ignored. A JSON file has a list of such names or objects.

    Raises ConfigError, which lists every line that is wrong.
    """
    architectures, problems = dict[Architecture, None](), list[str]()
    for where, entry in _entries(path):
        try:
            architectures[_architecture(entry)] = None
        except AIOPError as error:
            problems.append(f"{where}: {error}")
    _refuse(path, "cannot be used", problems)
    if not architectures:
        raise ConfigError(f"--architectures {path}: has no architectures: write {_FORM}")
    return tuple(architectures)


def require_buildable(architectures: tuple[Architecture, ...], settings: dict[str, dict[str, Any]], path: str) -> None:
    """Build each architecture without memory for its weights. settings: the recipe's `body` for each space.

    Raises ConfigError, which lists every architecture that cannot be built.
    """
    problems = []
    for architecture in architectures:
        try:
            get_space(architecture.space).skeleton(architecture, settings[architecture.space])
        except AIOPError as error:
            problems.append(str(error))
    _refuse(path, "cannot be built", problems)


def _refuse(path: Path | str, what: str, problems: list[str]) -> None:
    """Raise ConfigError with a line for each problem, if there are any."""
    if problems:
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise ConfigError(
            f"--architectures {path}: {len(problems)} {what}: fix or remove them", [*problems[:_SHOWN], *more]
        )


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield where an entry is and what it is: a name, or a mapping."""
    if path.suffix not in {".csv", ".json"}:
        raise ConfigError(f"--architectures {path}: must be a .csv or .json file")
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--architectures {path}: cannot be read ({error}): name a text file in UTF-8") from None
    if path.suffix == ".json":
        try:
            entries = parse_json(text)
        except ValueError as error:
            raise ConfigError(f"--architectures {path}: is not JSON ({error}): fix it") from None
        if not isinstance(entries, list):
            raise ConfigError(f"--architectures {path}: must be a list of names or of objects with {_FORM}")
        yield from ((f"entry {number}", entry) for number, entry in enumerate(entries, 1))
        return
    try:
        rows = read_csv(path, ("model",), ("space", "genotype"))
    except CsvError as error:
        if error.is_header:
            raise ConfigError(f"--architectures {path}: the first line names no {_FORM}: add it") from None
        raise ConfigError(f"--architectures {path}: {error}: quote values with commas") from None
    for row in rows:
        if row.problem or row.missing:
            problem = row.problem or f"{len(row.cells)} columns are named, but this line has {row.missing} fewer"
            raise ConfigError(f"--architectures {path}: line {row.line}: {problem}: quote values with commas")
        yield f"line {row.line}", row.cells


def _architecture(entry: Any) -> Architecture:
    """Return the architecture of a name, or of a mapping with `model`, or `space` and `genotype`."""
    if isinstance(entry, str):
        return architecture_named(entry.strip())
    if not isinstance(entry, dict):
        raise ConfigError(f"{json.dumps(entry)[:60]} is not a name or an object: write {_FORM}")
    if entry.get("model"):
        return _architecture(str(entry["model"]))
    space, genotype = entry.get("space"), entry.get("genotype")
    if not isinstance(space, str) or not space or not genotype:
        raise ConfigError(f"{json.dumps(entry)[:60]} names no architecture: write {_FORM}")
    text = genotype if isinstance(genotype, str) else json.dumps(genotype)
    return architecture_named(f"{space}:{text.strip()}")
