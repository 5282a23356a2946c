"""The manifest of an artifact: its files and the SHA-256 of each."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from predictor.text_files import parse_json
from workers.errors import ArtifactError

MANIFEST = "manifest.json"


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in `folder`, by relative path, without the manifest itself."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def parse_manifest(content: bytes) -> dict[str, str]:
    """Return the SHA-256 of each file by its path. Raises ValueError for anything else, and for paths outside."""
    hashes = parse_json(content)
    if not isinstance(hashes, dict) or not all(isinstance(digest, str) for digest in hashes.values()):
        raise ValueError("is no object of hashes")
    for name in hashes:
        path = PurePosixPath(name)
        if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
            raise ValueError(f"names the path {name[:80]!r}, which is not in the artifact")
    return hashes


def verify_artifact(folder: Path) -> None:
    """Raise ArtifactError unless `folder` holds exactly the files of its manifest."""
    remedy = "remove the folder, then it is made again"
    try:
        expected = parse_manifest((folder / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"artifact {folder}: its {MANIFEST} cannot be read: {remedy}") from error
    actual = file_hashes(folder)
    if actual != expected:
        names = sorted(name for name in {*actual, *expected} if actual.get(name) != expected.get(name))
        raise ArtifactError(f"artifact {folder}: checksum mismatch of {names[0]}: {remedy}")
