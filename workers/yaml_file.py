"""Reading of YAML files that users write, with one-line errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from predictor.errors import AIOPError
from predictor.text_files import read_text


def read_mapping(
    path: Path, what: str, error: type[AIOPError], expected_file: str, expected_fields: str
) -> dict[str, Any]:
    """Return the mapping in a YAML file. Raises `error` with one line that starts with `what` and the path.

    expected_file: the file to name instead, if it cannot be read. expected_fields: what the mapping must hold.
    """
    try:
        fields = yaml.safe_load(read_text(path))
    except OSError as caught:
        raise error(f"{what} {path}: {caught.strerror}: name {expected_file}") from None
    except (yaml.YAMLError, ValueError) as caught:
        raise error(f"{what} {path}: not YAML ({' '.join(str(caught).split())}): fix the file") from None
    if not isinstance(fields, dict):
        raise error(f"{what} {path}: must be a mapping {expected_fields}")
    return fields
