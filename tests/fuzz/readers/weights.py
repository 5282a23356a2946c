"""Weights: checkpoints that `fetch-weights` converts, and safetensors files."""

from __future__ import annotations

import argparse
import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from hypothesis import strategies as st

from orchestrator.weights.fetching import fetch_weights
from orchestrator.weights.folder import WeightsFolder
from tests.fuzz.mutation import as_json, documents, files
from tests.fuzz.readers.reader import Read, Reader, file_reader, reader
from workers.spaces.weights_file import read_weights, weights_fingerprint
from workers.storage.checkpoints import Checkpoint, FolderCheckpoints

UNPICKLED = list[str]()  # what code in a pickle left; must stay empty


class _Trap:
    """Leaves a trace if it is unpickled."""

    def __reduce__(self) -> Any:
        return _spring, ("unpickled",)


def _spring(text: str) -> str:
    UNPICKLED.append(text)
    return text


def tensor_files(valid: bytes) -> st.SearchStrategy[bytes]:
    """Return safetensors files with a spoilt header, or with spoilt bytes."""
    (length,) = struct.unpack("<Q", valid[:8])
    header, data = json.loads(valid[8 : 8 + length]), valid[8 + length :]

    def write(document: Any) -> bytes:
        content = as_json(document)
        return struct.pack("<Q", len(content)) + content + data

    return st.one_of(documents(header, write), documents(header, write), files(valid))


def _state() -> dict[str, Any]:
    weights = {"module.conv.weight": torch.ones(2, 3), "module.conv.bias": torch.zeros(2)}
    return {"state_dict": weights, "epoch": 3, "args": argparse.Namespace(lr=0.1), "meta": {"cfg": "style='pytorch'"}}


def _saved(state: Any, zipped: bool) -> bytes:
    out = io.BytesIO()
    torch.save(state, out, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


def _members(archive: bytes) -> st.SearchStrategy[bytes]:
    """Return archives with one member spoilt, whose checksums fit."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        members = {info.filename: opened.read(info) for info in opened.infolist()}
    pickled = next(name for name in members if name.endswith("data.pkl"))

    def write(pair: tuple[str, bytes]) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as made:
            for name, content in (members | {pair[0]: pair[1]}).items():
                made.writestr(name, content)
        return out.getvalue()

    one = st.sampled_from([pickled, pickled, pickled, *members]).flatmap(
        lambda name: st.tuples(st.just(name), files(members[name]))
    )
    return one.map(write)


def _fetch(folder: Path, suffix: str) -> Read:
    kept = WeightsFolder(folder / "kept")

    def read(path: Path) -> None:
        try:
            fetch_weights(str(path), folder=kept)
        finally:
            assert not UNPICKLED, "code of the file ran"

    return file_reader(folder, f"net.{suffix}", read)


@reader
def checkpoint_zip() -> Reader:
    valid = _saved(_state(), zipped=True)
    traps = st.sampled_from(
        [_saved({"state_dict": _Trap()}, True), pickle.dumps(_Trap()), pickle.dumps({"a": _Trap()})]
    )

    def inputs() -> st.SearchStrategy[bytes]:
        return st.one_of(files(valid), _members(valid), _members(valid), traps)

    return Reader("pth", valid, inputs, lambda folder: _fetch(folder, "pth"))


@reader
def checkpoint_legacy() -> Reader:
    valid = _saved(_state(), zipped=False)
    traps = st.sampled_from([_saved(_Trap(), False), pickle.dumps(_Trap(), 2)])
    return Reader(
        "pth", valid, lambda: st.one_of(files(valid), files(valid), traps), lambda folder: _fetch(folder, "pth")
    )


def _tensors() -> bytes:
    return bytes(safetensors.torch.save({"a": torch.ones(2, 3), "b": torch.zeros(4, dtype=torch.int64)}, {"x": "y"}))


@reader
def checkpoint_safetensors() -> Reader:
    return Reader("st", _tensors(), lambda: tensor_files(_tensors()), lambda folder: _fetch(folder, "safetensors"))


@reader
def pretrained_file() -> Reader:
    def read(path: Path) -> None:
        read_weights(path, "body pretrained")
        weights_fingerprint(path, "body pretrained")

    def open_reader(folder: Path) -> Read:
        return file_reader(folder, "w.safetensors", read)

    return Reader("st", _tensors(), lambda: tensor_files(_tensors()), open_reader)


@reader
def weights_hashes() -> Reader:
    document = {"https://x/y": "ab" * 32}

    def read(path: Path) -> None:
        WeightsFolder(path.parent).known_hash("https://x/y")

    def open_reader(folder: Path) -> Read:
        return file_reader(folder, "hashes.json", read)

    return Reader(
        "hashes",
        as_json(document),
        lambda: st.one_of(documents(document, as_json), files(as_json(document))),
        open_reader,
    )


@reader
def label_checkpoint() -> Reader:
    """The checkpoint of a label in training."""
    import tempfile

    from workers.training.resumption import Resumption

    with tempfile.TemporaryDirectory() as made:
        facts = {"step": 3, "split": 1, "runs": [{"seg": {"miou": 0.5}}], "seconds": {"train": 1.0}}
        FolderCheckpoints(Path(made)).save("key", Checkpoint({"weights.a": torch.ones(2)}, facts))
        valid = next(Path(made).iterdir()).read_bytes()

    def open_reader(folder: Path) -> Read:
        checkpoints = FolderCheckpoints(folder)
        return file_reader(folder, "key.safetensors", lambda path: Resumption(checkpoints, "key", 1.0))

    def inputs() -> st.SearchStrategy[bytes]:
        def write(document: Any) -> bytes:
            content = as_json(document).decode()
            return bytes(safetensors.torch.save({"weights.a": torch.ones(2)}, {"facts": content}))

        return st.one_of(tensor_files(valid), documents(facts, write))

    return Reader("label", valid, inputs, open_reader)
