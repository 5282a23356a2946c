"""Reading of YAML files that users write, with one-line errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from predictor.errors import AIOPError, one_line
from predictor.plain_numbers import LARGEST_INTEGER
from predictor.text_files import read_text

_MAX_VALUES = 100_000  # of a document, each counted wherever an alias repeats it


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text. Raises ValueError with the reason in one line.

    Integers of more than 64 bits and aliases that make a document endless or huge are refused, because nothing that
    reads the value could handle them.
    """
    try:
        value = yaml.safe_load(text)
    except RecursionError:
        raise ValueError("has too many lists or mappings inside each other") from None
    except Exception as caught:  # PyYAML raises many types for what follows a tag such as !!int
        raise ValueError(one_line(caught)) from None
    _check_size(value)
    return value


def _check_size(value: Any) -> None:
    """Raise ValueError for a document of too many values, or with too large an integer."""
    waiting, count = [value], 0
    while waiting:
        inner = waiting.pop()
        count += 1
        if count > _MAX_VALUES:
            raise ValueError(f"has more than {_MAX_VALUES} values, or an alias inside of what it names")
        if isinstance(inner, dict):
            waiting += [*inner, *inner.values()]
        elif isinstance(inner, list | tuple | set):
            waiting += inner
        elif isinstance(inner, int) and abs(inner) > LARGEST_INTEGER:
            raise ValueError("has an integer of more than 64 bits")


def read_mapping(
    path: Path, what: str, error: type[AIOPError], expected_file: str, expected_fields: str
) -> dict[str, Any]:
    """Return the mapping in a YAML file. Raises `error` with one line that starts with `what` and the path.

    expected_file: the file to name instead, if it cannot be read. expected_fields: what the mapping must hold.
    """
    try:
        fields = parse_yaml(read_text(path))
    except OSError as caught:
        raise error(f"{what} {path}: {caught.strerror}: name {expected_file}") from None
    except ValueError as caught:
        raise error(f"{what} {path}: not YAML ({caught}): fix the file") from None
    if not isinstance(fields, dict):
        raise error(f"{what} {path}: must be a mapping {expected_fields}")
    return fields
