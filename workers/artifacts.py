"""Things that are dear to make and used by many labels, such as shared weights: made once, whole or not at all.

An artifact is a folder of files with a manifest of their hashes. It is made in `NAME.partial`, which a later try finds
as it was left, and renamed when complete, so what has its final name is whole unless somebody damaged it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from workers.errors import ArtifactError

_MANIFEST = "manifest.json"


class ArtifactFolder:
    """Artifacts below one folder, which several processes may share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder of artifact `name`; where there is none, `make` fills it. Others that want it wait meanwhile.

        make: gets a folder, which may hold what an earlier try that was killed had saved.

        Raises ArtifactError for an artifact that was damaged, and whatever `make` raises.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / name
        if name not in self:
            with FileLock(self._folder / f"{name}.lock"):  # given back by the system when its holder dies
                if name not in self:
                    self._make(name, path, make)
        return self.find(name)

    def find(self, name: str) -> Path:
        """The folder of artifact `name`. Raises ArtifactError where it was never made, or was damaged."""
        path = self._folder / name
        if name not in self:
            raise ArtifactError(f"artifact {path}: is missing: make it with `orchestrator prepare`")
        _verify(path)
        return path

    def __contains__(self, name: str) -> bool:
        return (self._folder / name).exists()

    def _make(self, name: str, path: Path, make: Callable[[Path], None]) -> None:
        partial = self._folder / f"{name}.partial"
        partial.mkdir(exist_ok=True)
        make(partial)
        (partial / _MANIFEST).write_text(json.dumps(_hashes(partial), indent=1))
        for file in partial.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        os.rename(partial, path)


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _MANIFEST)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _verify(path: Path) -> None:
    remedy = "remove the folder, and it is made anew"
    try:
        wanted = json.loads((path / _MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"artifact {path}: its {_MANIFEST} cannot be read: {remedy}") from error
    found = _hashes(path)
    if found != wanted:
        names = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
        raise ArtifactError(f"artifact {path}: {names[0]} is not as it was written: {remedy}")
