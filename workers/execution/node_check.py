"""What a machine must have before it makes labels, checked there: the driver's code, its folders and its data."""

from __future__ import annotations

import os
import platform
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workers.code_version import code_version
from workers.errors import DataError, NodeError

_MARK = ".place"
_PATIENCE_S = 5.0  # a network file system may take seconds to show what another machine has just made


@dataclass(frozen=True, slots=True)
class NodeNeeds:
    """What labels need of a machine.

    folders: by path, the id that `mark_folder` gave. objects: URIs in object stores. data: of `task`, as on the command
    line; none if empty.
    """

    folders: Mapping[str, str] = field(default_factory=dict)
    objects: tuple[str, ...] = ()
    data: str = ""
    task: str = ""
    code: str = field(default_factory=code_version)


def mark_folder(folder: Path) -> str:
    """The id of a folder, which tells it from one of the same path on another machine. Makes both where missing."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / _MARK
    if not mark.exists():
        own = folder / f"{_MARK}.{uuid.uuid4().hex}"
        own.write_text(own.suffix[1:])
        try:
            os.link(own, mark)  # unlike a rename, it fails where another process was faster
        except FileExistsError:
            pass
        finally:
            own.unlink()
    return mark.read_text()


def check_node(needs: NodeNeeds) -> None:
    """Raise NodeError for the first need that this machine does not meet."""
    if needs.code != code_version():
        raise NodeError(
            f"node {platform.node()}: runs other code than the driver ({code_version()}, not {needs.code}): bring all "
            "nodes to one version with `ray up cluster/cluster.yaml`, or by one container image"
        )
    for path, wanted in needs.folders.items():
        _check_folder(Path(path), wanted)
    for place in needs.objects:
        _check_objects(place)
    if needs.data:
        _check_data(needs.data, needs.task)


def _check_folder(folder: Path, wanted: str) -> None:
    where, remedy = f"node {platform.node()}: {folder}", "mount shared storage there on every node, or choose a --store"
    deadline = time.monotonic() + _PATIENCE_S
    while (found := _read(folder / _MARK)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    if found != wanted:
        what = "cannot be reached" if found is None else "is another folder than the driver's"
        raise NodeError(f"{where} {what}: {remedy} that all reach")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise NodeError(f"{where} cannot be written ({error.strerror}): {remedy} that all may write") from None


def _check_objects(place: str) -> None:
    from workers.storage.object_spool import ObjectSpool  # a local campaign's workers do without deltalake

    try:
        ObjectSpool(place).probe()
    except (OSError, ValueError) as error:
        text = " ".join(str(error).split())[:200]
        raise NodeError(
            f"node {platform.node()}: {place} cannot be written ({text}): give every node rights and network to it, "
            "by its role or the AWS_* variables that Ray is started with"
        ) from None


def _read(mark: Path) -> str | None:
    try:
        return mark.read_text()
    except OSError:
        return None


def _check_data(data: str, task: str) -> None:
    from workers.data import open_data  # loads torchvision, which takes seconds

    try:
        open_data(data, task)
    except DataError as error:
        raise NodeError(f"node {platform.node()}: --data {error}") from None
