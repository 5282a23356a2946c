"""YAML files that users write: read with one-line errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from predictor.errors import AIOPError


def read_mapping(path: Path, what: str, error: type[AIOPError], name_instead: str, must_be: str) -> dict[str, Any]:
    """The mapping in a YAML file. Raises `error`, in one line that begins with `what` and the path.

    name_instead: the remedy where it cannot be read. must_be: the remedy where it holds no mapping.
    """
    try:
        fields = yaml.safe_load(path.read_text())
    except OSError as caught:
        raise error(f"{what} {path}: {caught.strerror}: name {name_instead}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as caught:
        raise error(f"{what} {path}: not YAML ({' '.join(str(caught).split())}): mend the file") from None
    if not isinstance(fields, dict):
        raise error(f"{what} {path}: must be a mapping {must_be}")
    return fields
