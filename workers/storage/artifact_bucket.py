"""Artifacts in an object store: what one machine made is available to all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from workers.errors import ArtifactError
from workers.storage.manifest import MANIFEST, parse_manifest
from workers.storage.objects import open_objects, read_object, write_object


class ArtifactBucket:
    """Artifacts by name. Each has its files, stored under the hash of their content, and a manifest, written last.

    So an artifact with a manifest is complete, and never a mixture of what two machines made.
    """

    def __init__(self, uri: str, options: Mapping[str, str] | None = None) -> None:
        """options: those of the label store."""
        self.uri, self.options = uri, options
        self._files = open_objects(uri, options)

    def manifest(self, name: str) -> bytes | None:
        """Return the manifest of artifact `name`, None if there is no such artifact.

        Raises ArtifactError if the object store cannot be reached.
        """
        with self._translated_errors(name):
            try:
                return read_object(self._files, f"{name}/{MANIFEST}")
            except FileNotFoundError:
                return None

    def send(self, name: str, folder: Path) -> None:
        """Upload `folder` as artifact `name`, unless another machine was faster.

        Raises ArtifactError if the object store cannot be reached.
        """
        manifest = (folder / MANIFEST).read_bytes()
        with self._translated_errors(name):
            for path, digest in parse_manifest(manifest).items():
                write_object(self._files, f"{name}/{digest}", (folder / path).read_bytes())
            if self.manifest(name) is None:
                write_object(self._files, f"{name}/{MANIFEST}", manifest)

    def fetch(self, name: str, folder: Path) -> None:
        """Download artifact `name` into `folder`, the manifest last.

        Raises ArtifactError if it is missing or damaged, or the object store cannot be reached.
        """
        with self._translated_errors(name):
            manifest = read_object(self._files, f"{name}/{MANIFEST}")
            for path, digest in parse_manifest(manifest).items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                content = read_object(self._files, f"{name}/{digest}")
                if hashlib.sha256(content).hexdigest() != digest:
                    raise ArtifactError(
                        f"artifact {self.uri}/{name}: checksum mismatch of {path}: delete the artifact there, then it "
                        "is made again"
                    )
                (folder / path).write_bytes(content)
            (folder / MANIFEST).write_bytes(manifest)

    @contextmanager
    def _translated_errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            text = " ".join(str(error).split())[:200]
            raise ArtifactError(
                f"artifact {self.uri}/{name}: cannot be read or written ({text}): check network and permissions, "
                "then run the command again"
            ) from None
