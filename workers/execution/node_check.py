"""Checks that run on a machine before it makes labels: version of the code, folders, object stores, data, weights."""

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
from workers.errors import DataError, NodeError, RecipeError, SpaceError

_MARKER = ".place"  # a stored file name
_MARKER_TIMEOUT_S = 5.0  # a network file system may take seconds to show a new file of another machine


@dataclass(frozen=True, slots=True)
class NodeNeeds:
    """What a machine must have to make labels.

    folders: the id that `mark_folder` returned, by path. objects: URIs in object stores. data: the data set of `task`,
    as on the command line; no data set is checked if empty. space: the space that a user declared, from
    `space_message`; none is checked if empty. code: version of the driver's code. weights: fingerprints of files of
    pretrained weights, by path.
    """

    folders: Mapping[str, str] = field(default_factory=dict)
    objects: tuple[str, ...] = ()
    data: str = ""
    task: str = ""
    space: str = ""
    code: str = field(default_factory=code_version)
    weights: Mapping[str, str] = field(default_factory=dict)


def mark_folder(folder: Path) -> str:
    """Return the id of a folder, which distinguishes it from a folder with the same path on another machine.

    Creates the folder and its id if they are missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / _MARKER
    if not marker.exists():
        own = folder / f"{_MARKER}.{uuid.uuid4().hex}"
        own.write_text(own.suffix[1:])
        try:
            os.link(own, marker)  # unlike a rename, it fails if another process was faster
        except FileExistsError:
            pass
        finally:
            own.unlink()
    return marker.read_text()


def check_node(needs: NodeNeeds) -> None:
    """Raise NodeError for the first requirement that this machine does not meet."""
    if needs.code != code_version():
        raise NodeError(
            f"node {platform.node()}: runs other code than the driver ({code_version()}, not {needs.code}): bring all "
            "nodes to one version with `ray up cluster/cluster.yaml`, or by one container image"
        )
    for path, folder_id in needs.folders.items():
        _check_folder(Path(path), folder_id)
    for uri in needs.objects:
        _check_objects(uri)
    if needs.data:
        _check_data(needs.data, needs.task)
    if needs.space:
        _check_space(needs.space)
    for file, fingerprint in needs.weights.items():
        _check_weights(Path(file), fingerprint)


def _check_folder(folder: Path, expected_id: str) -> None:
    where, remedy = f"node {platform.node()}: {folder}", "mount shared storage there on every node, or choose a --store"
    deadline = time.monotonic() + _MARKER_TIMEOUT_S
    while (actual_id := _read_marker(folder / _MARKER)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    if actual_id != expected_id:
        what = "cannot be reached" if actual_id is None else "is not the driver's folder"
        raise NodeError(f"{where} {what}: {remedy} that all reach")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise NodeError(f"{where} cannot be written ({error.strerror}): {remedy} that all may write") from None


def _check_objects(uri: str) -> None:
    from workers.storage.object_spool import ObjectSpool  # workers of a local campaign need no deltalake

    try:
        ObjectSpool(uri).probe()
    except (OSError, ValueError) as error:
        text = " ".join(str(error).split())[:200]
        raise NodeError(
            f"node {platform.node()}: {uri} cannot be written ({text}): give every node access to it, "
            "by its role or the AWS_* variables that Ray is started with"
        ) from None


def _read_marker(marker: Path) -> str | None:
    try:
        return marker.read_text()
    except OSError:
        return None


def _check_data(data: str, task: str) -> None:
    from workers.data import open_data  # imports torchvision, which takes seconds

    try:
        open_data(data, task)
    except DataError as error:
        raise NodeError(f"node {platform.node()}: --data {error}") from None


def _check_space(message: str) -> None:
    from workers.spaces.opening import receive_space  # imports torch, which takes seconds

    try:
        receive_space(message)
    except SpaceError as error:
        raise NodeError(f"node {platform.node()}: {error}") from None


def _check_weights(path: Path, fingerprint: str) -> None:
    from workers.spaces.weights_file import weights_fingerprint  # imports torch, which takes seconds

    where, remedy = f"node {platform.node()}: body pretrained {path}", "copy the driver's file there, on every node"
    try:
        found = weights_fingerprint(path, "body pretrained")
    except RecipeError:
        raise NodeError(f"{where} cannot be read: {remedy}") from None
    if found != fingerprint:
        raise NodeError(f"{where} is another file than the driver's: {remedy}")
