"""The version of the code that a process runs, to compare machines."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = ("orchestrator", "predictor", "workers")
_SUFFIXES = (".py", ".yaml")


@cache
def code_version() -> str:
    """Return a hash of names and contents of this project's installed source files, as 12 hexadecimal digits.

    The files are read once per process.
    """
    digest = hashlib.sha256()
    for package in _PACKAGES:
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        _add(digest, Path(spec.origin).parent)
    return digest.hexdigest()[:12]


def _add(digest: hashlib._Hash, folder: Path) -> None:
    for path in sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES):
        content = path.read_bytes()
        digest.update(f"{folder.name}/{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        digest.update(content)
