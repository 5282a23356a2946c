"""Artifacts: results that are expensive to make and used by many labels, such as shared weights. Each is made once.

An artifact is a folder of files with a manifest of their hashes. It is made in `NAME.partial` and renamed when it is
complete, so a folder with the final name is complete unless it was damaged later. Checkpoints of its training are next
to the artifacts. If labels are in an object store, artifacts and checkpoints are there too, and each machine keeps
copies of the artifacts it needs.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from predictor.atomic_write import publish_folder
from workers.errors import ArtifactError
from workers.storage.manifest import MANIFEST, file_hashes, verify_artifact
from workers.storage.spool import in_object_store

if TYPE_CHECKING:  # workers of a local campaign need no deltalake
    from workers.storage.artifact_bucket import ArtifactBucket
    from workers.storage.checkpoints import Checkpoints

_UNFINISHED = "_unfinished"


def open_artifacts(location: str) -> ArtifactFolder:
    """Open the artifacts in a folder, or in an object store with copies in this user's cache."""
    if not in_object_store(location):
        return ArtifactFolder(Path(location.removeprefix("file://")))
    from workers.storage.artifact_bucket import ArtifactBucket

    name = "".join(c if c.isalnum() else "-" for c in location)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "aiop-orchestrator"
    return ArtifactFolder(cache / name, ArtifactBucket(location))


class ArtifactFolder:
    """Artifacts in one folder, which several processes may share."""

    def __init__(self, folder: Path, bucket: ArtifactBucket | None = None) -> None:
        """bucket: the artifacts of all machines; `folder` then holds this machine's copies."""
        self._folder, self._bucket = folder, bucket

    def get(self, name: str, make: Callable[[Path], None]) -> Path:
        """Return the folder of artifact `name`. If it is missing, `make` fills it; other processes wait until then.

        Processes on other machines wait too if they share the folder. With a bucket they may make the artifact as
        well; all machines then use the one that was uploaded first.

        make: is given a folder, which may hold what an interrupted attempt saved.

        Raises ArtifactError for a damaged artifact, and any error of `make`.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        if name not in self:
            with self._lock(name):
                if name not in self:
                    self._provide(name, make)
        return self.find(name)

    def find(self, name: str) -> Path:
        """Return the folder of artifact `name`. Raises ArtifactError if it is missing or damaged."""
        path = self._folder / name
        if name not in self:
            raise ArtifactError(f"artifact {path}: is missing: make it with `orchestrator prepare`")
        if self._bucket is not None:
            self._update_copy(name, path, self._bucket)
        verify_artifact(path)
        return path

    def add(self, name: str, source: Path) -> None:
        """Add a copy of an artifact that was made elsewhere, unless there is one of that name. Raises OSError."""
        self.get(name, lambda folder: _copy_files(source, folder))

    @property
    def checkpoints(self) -> Checkpoints:
        """Where unfinished artifacts are saved, by their names: any machine continues from there."""
        from workers.storage.checkpoints import FolderCheckpoints, ObjectCheckpoints  # loads torch

        if self._bucket is not None:
            return ObjectCheckpoints(f"{self._bucket.uri}/{_UNFINISHED}", self._bucket.options)
        return FolderCheckpoints(self._folder / _UNFINISHED)

    def __contains__(self, name: str) -> bool:
        if self._bucket is not None:
            return self._bucket.manifest(name) is not None
        return (self._folder / name).exists()

    def _lock(self, name: str) -> FileLock:
        """Return a lock that the system releases when its holder dies."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self._folder / f"{name}.lock")

    def _provide(self, name: str, make: Callable[[Path], None]) -> None:
        path = self._folder / name
        if not path.exists():
            self._make(name, path, make)
        if self._bucket is not None:
            verify_artifact(path)
            self._bucket.send(name, path)

    def _make(self, name: str, path: Path, make: Callable[[Path], None]) -> None:
        partial = self._folder / f"{name}.partial"
        partial.mkdir(exist_ok=True)
        make(partial)
        (partial / MANIFEST).write_text(json.dumps(file_hashes(partial), indent=1))
        publish_folder(partial, path)

    def _update_copy(self, name: str, path: Path, bucket: ArtifactBucket) -> None:
        """Make `path` a copy of what is in the bucket; a copy of an earlier artifact of that name is removed."""
        with self._lock(name):
            manifest = path / MANIFEST
            if manifest.exists() and manifest.read_bytes() == bucket.manifest(name):
                return
            fetched = self._folder / f"{name}.fetched"
            shutil.rmtree(fetched, ignore_errors=True)
            fetched.mkdir()
            bucket.fetch(name, fetched)
            shutil.rmtree(path, ignore_errors=True)
            publish_folder(fetched, path)


def _copy_files(source: Path, folder: Path) -> None:
    """Copy the files of an artifact, without its manifest."""
    for path in source.iterdir():
        if path.name != MANIFEST:
            shutil.copyfile(path, folder / path.name)
