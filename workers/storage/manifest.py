"""The manifest of an artifact: its files and the SHA-256 of each."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from workers.errors import ArtifactError

MANIFEST = "manifest.json"


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in `folder`, by relative path, without the manifest itself."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def verify_artifact(folder: Path) -> None:
    """Raise ArtifactError unless `folder` holds exactly the files of its manifest."""
    remedy = "remove the folder, then it is made again"
    try:
        expected = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"artifact {folder}: its {MANIFEST} cannot be read: {remedy}") from error
    actual = file_hashes(folder)
    if actual != expected:
        names = sorted(name for name in {*actual, *expected} if actual.get(name) != expected.get(name))
        raise ArtifactError(f"artifact {folder}: checksum mismatch of {names[0]}: {remedy}")
