"""The manifest of an artifact: which files it has, and the SHA-256 of each."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from workers.errors import ArtifactError

MANIFEST = "manifest.json"


def file_hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def verify(path: Path) -> None:
    remedy = "remove the folder, and it is made anew"
    try:
        wanted = json.loads((path / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"artifact {path}: its {MANIFEST} cannot be read: {remedy}") from error
    found = file_hashes(path)
    if found != wanted:
        names = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
        raise ArtifactError(f"artifact {path}: {names[0]} is not as it was written: {remedy}")
