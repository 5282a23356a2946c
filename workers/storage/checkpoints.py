"""Checkpoints of unfinished work by name, in a folder or an object store. Files are safetensors, never pickle."""

from __future__ import annotations

import json
import logging
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import quote, unquote

import pyarrow.fs as pa_fs
import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from predictor.atomic_write import replacing
from predictor.text_files import parse_json
from workers.storage.spool import in_object_store

log = logging.getLogger(__name__)

_FACTS = "facts"  # the key in a file's metadata


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors by name, and facts as JSON values."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Checkpoints(Protocol):
    """Stores one checkpoint per name. A checkpoint is complete or absent."""

    def save(self, name: str, checkpoint: Checkpoint) -> bool:
        """Replace the checkpoint of `name`. Returns False if it cannot be written, which is logged."""
        ...

    def load(self, name: str) -> Checkpoint | None:
        """Return the checkpoint of `name`, None if there is none or it is damaged, which is logged."""
        ...

    def remove(self, name: str) -> None:
        """Remove the checkpoint of `name`, if there is one."""
        ...

    def names(self) -> list[str]:
        """Return the names of all checkpoints; none if they cannot be listed."""
        ...


def open_checkpoints(location: str) -> Checkpoints:
    """Open the checkpoints in a folder, which is created when needed, or in an object store."""
    if in_object_store(location):
        return ObjectCheckpoints(location)
    return FolderCheckpoints(Path(location.removeprefix("file://")))


def remove_settled(checkpoints: Checkpoints, settled: Container[str]) -> None:
    """Remove the checkpoints of `settled` names, which workers left that died after their last report."""
    for name in checkpoints.names():
        if name in settled:
            checkpoints.remove(name)


class FolderCheckpoints:
    """Checkpoints in a folder that all machines reach."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, name: str, checkpoint: Checkpoint) -> bool:
        """See `Checkpoints`."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._path(name)) as partial:
                safetensors.torch.save_file(
                    _portable(checkpoint), partial, {_FACTS: json.dumps(dict(checkpoint.facts))}
                )
        except (OSError, SafetensorError) as error:
            log.warning("checkpoint %s: not written (%s): check space and rights", self._path(name), error)
            return False
        return True

    def load(self, name: str) -> Checkpoint | None:
        """See `Checkpoints`."""
        path = self._path(name)
        if not path.exists():
            return None
        try:
            with safe_open(path, "pt") as file:
                facts = _facts(file.metadata() or {})
                return Checkpoint({key: file.get_tensor(key) for key in file.keys()}, facts)  # noqa: SIM118 - no mapping
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            log.warning("checkpoint %s: not readable (%s): starting from the first step", path, error)
            return None

    def remove(self, name: str) -> None:
        """See `Checkpoints`."""
        self._path(name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """See `Checkpoints`."""
        return sorted(unquote(path.stem) for path in self._folder.glob("[!.]*.safetensors"))

    def _path(self, name: str) -> Path:
        return self._folder / f"{quote(name, safe='')}.safetensors"


class ObjectCheckpoints:
    """Checkpoints in an object store."""

    def __init__(self, uri: str, options: Mapping[str, str] | None = None) -> None:
        """options: those of the label store; environment variables such as AWS_* work too."""
        from workers.storage.objects import open_objects  # workers of a local campaign need no deltalake

        self._uri, self._files = uri, open_objects(uri, options)

    def save(self, name: str, checkpoint: Checkpoint) -> bool:
        """See `Checkpoints`."""
        from workers.storage.objects import write_object

        facts = {_FACTS: json.dumps(dict(checkpoint.facts))}
        try:
            write_object(self._files, self._key(name), safetensors.torch.save(_portable(checkpoint), facts))
        except (OSError, ValueError) as error:
            text = " ".join(str(error).split())[:200]
            log.warning("checkpoint %s/%s: not written (%s): check network and permissions", self._uri, name, text)
            return False
        return True

    def load(self, name: str) -> Checkpoint | None:
        """See `Checkpoints`."""
        from workers.storage.objects import read_object

        try:
            content = read_object(self._files, self._key(name))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            text = " ".join(str(error).split())[:200]
            log.warning("checkpoint %s/%s: not readable (%s): starting from the first step", self._uri, name, text)
            return None
        try:
            header = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")])
            return Checkpoint(safetensors.torch.load(content), _facts(header["__metadata__"]))
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            log.warning("checkpoint %s/%s: damaged (%s): starting from the first step", self._uri, name, error)
            return None

    def remove(self, name: str) -> None:
        """See `Checkpoints`."""
        try:
            self._files.delete_file(self._key(name))
        except (OSError, ValueError):  # it does not exist, or the store cannot be reached: a later sweep removes it
            return

    def names(self) -> list[str]:
        """See `Checkpoints`."""
        try:
            files = self._files.get_file_info(pa_fs.FileSelector("", allow_not_found=True))
        except (OSError, ValueError):
            return []
        paths = (PurePosixPath(file.path) for file in files)
        return sorted(unquote(path.stem) for path in paths if path.suffix == ".safetensors")

    def _key(self, name: str) -> str:
        return f"{quote(name, safe='')}.safetensors"


def _portable(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in checkpoint.tensors.items()}


def _facts(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the facts in a file's metadata. Raises KeyError and ValueError."""
    facts = parse_json(metadata[_FACTS])
    if not isinstance(facts, dict):
        raise ValueError("its facts are no object")
    return facts
