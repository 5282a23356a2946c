"""Things that are dear to make and used by many labels, such as shared weights: made once, whole or not at all.

An artifact is a folder of files with a manifest of their hashes. It is made in `NAME.partial`, which a later try finds
as it was left, and renamed when complete, so what has its final name is whole unless somebody damaged it. Where the
labels are in an object store, so are artifacts, and each machine keeps a copy of those that it needs.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from workers.errors import ArtifactError
from workers.storage.manifest import MANIFEST, file_hashes, verify
from workers.storage.spool import in_object_store

if TYPE_CHECKING:  # a local campaign's workers do without deltalake
    from workers.storage.artifact_bucket import ArtifactBucket


def open_artifacts(place: str) -> ArtifactFolder:
    """The artifacts in a folder, or in an object store with copies in this user's cache."""
    if not in_object_store(place):
        return ArtifactFolder(Path(place.removeprefix("file://")))
    from workers.storage.artifact_bucket import ArtifactBucket

    name = "".join(c if c.isalnum() else "-" for c in place)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "aiop-orchestrator"
    return ArtifactFolder(cache / name, ArtifactBucket(place))


class ArtifactFolder:
    """Artifacts below one folder, which several processes may share."""

    def __init__(self, folder: Path, bucket: ArtifactBucket | None = None) -> None:
        """bucket: where artifacts are for all machines; the folder then holds this machine's copies."""
        self._folder, self._bucket = folder, bucket

    def get(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder of artifact `name`; where there is none, `make` fills it. Others that want it wait meanwhile.

        Those on other machines wait where they share the folder. With a bucket they may make it too, and then all use
        what was ready first.

        make: gets a folder, which may hold what an earlier try that was killed had saved.

        Raises ArtifactError for an artifact that was damaged, and whatever `make` raises.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        if name not in self:
            with self._lock(name):
                if name not in self:
                    self._provide(name, make)
        return self.find(name)

    def find(self, name: str) -> Path:
        """The folder of artifact `name`. Raises ArtifactError where it was never made, or was damaged."""
        path = self._folder / name
        if name not in self:
            raise ArtifactError(f"artifact {path}: is missing: make it with `orchestrator prepare`")
        if self._bucket is not None:
            self._copy(name, path, self._bucket)
        verify(path)
        return path

    def __contains__(self, name: str) -> bool:
        if self._bucket is not None:
            return self._bucket.manifest(name) is not None
        return (self._folder / name).exists()

    def _lock(self, name: str) -> FileLock:
        """Given back by the system when its holder dies."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self._folder / f"{name}.lock")

    def _provide(self, name: str, make: Callable[[Path], None]) -> None:
        path = self._folder / name
        if not path.exists():
            self._make(name, path, make)
        if self._bucket is not None:
            verify(path)
            self._bucket.send(name, path)

    def _make(self, name: str, path: Path, make: Callable[[Path], None]) -> None:
        partial = self._folder / f"{name}.partial"
        partial.mkdir(exist_ok=True)
        make(partial)
        (partial / MANIFEST).write_text(json.dumps(file_hashes(partial), indent=1))
        for file in partial.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        os.rename(partial, path)

    def _copy(self, name: str, path: Path, bucket: ArtifactBucket) -> None:
        """Have in `path` what is in the bucket; a copy of something else that was once called so goes."""
        with self._lock(name):
            held = path / MANIFEST
            if held.exists() and held.read_bytes() == bucket.manifest(name):
                return
            fetched = self._folder / f"{name}.fetched"
            shutil.rmtree(fetched, ignore_errors=True)
            fetched.mkdir()
            bucket.fetch(name, fetched)
            shutil.rmtree(path, ignore_errors=True)
            os.rename(fetched, path)
