"""Artifacts in an object store, where all machines find what one of them made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from workers.errors import ArtifactError
from workers.storage.manifest import MANIFEST
from workers.storage.objects import open_objects, read_object, write_object


class ArtifactBucket:
    """Below the artifact's name lie its files by the hash of their content, and its manifest, which is written last.

    So an artifact whose manifest can be read is whole, and never a mixture of what two machines made.
    """

    def __init__(self, uri: str, options: Mapping[str, str] | None = None) -> None:
        """options: as the label store's."""
        self._uri, self._files = uri, open_objects(uri, options)

    def manifest(self, name: str) -> bytes | None:
        """That of artifact `name`; None where there is no such artifact. Raises ArtifactError out of reach."""
        with self._reached(name):
            try:
                return read_object(self._files, f"{name}/{MANIFEST}")
            except FileNotFoundError:
                return None

    def send(self, name: str, folder: Path) -> None:
        """Put what lies in `folder`, unless another machine was faster. Raises ArtifactError out of reach."""
        manifest = (folder / MANIFEST).read_bytes()
        with self._reached(name):
            for path, digest in json.loads(manifest).items():
                write_object(self._files, f"{name}/{digest}", (folder / path).read_bytes())
            if self.manifest(name) is None:
                write_object(self._files, f"{name}/{MANIFEST}", manifest)

    def fetch(self, name: str, folder: Path) -> None:
        """Write artifact `name` into `folder`, manifest last. Raises ArtifactError, also for one gone or damaged."""
        with self._reached(name):
            manifest = read_object(self._files, f"{name}/{MANIFEST}")
            for path, digest in json.loads(manifest).items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                content = read_object(self._files, f"{name}/{digest}")
                if hashlib.sha256(content).hexdigest() != digest:
                    raise ArtifactError(
                        f"artifact {self._uri}/{name}: {path} is not as it was written: delete it there, and it "
                        "is made anew"
                    )
                (folder / path).write_bytes(content)
            (folder / MANIFEST).write_bytes(manifest)

    @contextmanager
    def _reached(self, name: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            text = " ".join(str(error).split())[:200]
            raise ArtifactError(
                f"artifact {self._uri}/{name}: cannot be read or written ({text}): see to network and rights, and run "
                "it again"
            ) from None
