"""Predictors on disk: generations, snapshots, decisions, and checkpoints of their trainings."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from orchestrator.predictors.decisions import read_records
from orchestrator.predictors.generations import champion_number, decided_numbers, generation_numbers
from orchestrator.predictors.snapshot_file import read_snapshot
from predictor.api import Predictor
from predictor.generation import read_metadata
from predictor.networks.checkpoints import FolderCheckpointer, read_progress
from predictor.networks.fitting import TrainingProgress
from tests.fuzz.mutation import as_json, documents, files
from tests.fuzz.readers.reader import Read, Reader, file_reader, reader
from tests.fuzz.readers.weights import tensor_files

_OLD = Path(__file__).parents[2] / "fixtures/v0_1"
_GENERATION, _SNAPSHOT = _OLD / "predictors/000002", _OLD / "predictors/_replay/000002"


def _json_inputs(document: Any) -> Callable[[], st.SearchStrategy[bytes]]:
    valid = as_json(document)
    return lambda: st.one_of(documents(document, as_json), documents(document, as_json), files(valid))


def _in_copy(source: Path, name: str, read: Callable[[Path], object]) -> Callable[[Path], Read]:
    """Return what puts its input in place of one file of a copied folder and reads the folder."""

    def open_reader(folder: Path) -> Read:
        copy = folder / source.name
        shutil.copytree(source, copy)
        return file_reader(copy, name, lambda path: read(copy))

    return open_reader


@reader
def generation_description() -> Reader:
    document = json.loads((_GENERATION / "generation.json").read_text())

    def read(folder: Path) -> None:
        read_metadata(folder)
        Predictor.load(folder)

    return Reader(
        "generation", as_json(document), _json_inputs(document), _in_copy(_GENERATION, "generation.json", read)
    )


@reader
def generation_weights() -> Reader:
    """Weights that are not those of the description, and with a description that has their checksum."""
    valid = (_GENERATION / "weights.safetensors").read_bytes()

    def open_reader(folder: Path) -> Read:
        copy = folder / "000002"
        shutil.copytree(_GENERATION, copy)
        description = json.loads((copy / "generation.json").read_text())

        def read(content: bytes) -> None:
            fitting = len(content) % 4 != 1
            digest = hashlib.sha256(content).hexdigest() if fitting else description["sha256"]
            (copy / "weights.safetensors").write_bytes(content)
            (copy / "generation.json").write_text(json.dumps(description | {"sha256": digest}))
            Predictor.load(copy)

        return read

    return Reader("weights", valid, lambda: tensor_files(valid), open_reader)


@reader
def snapshot_description() -> Reader:
    document = json.loads((_SNAPSHOT / "replay.json").read_text())
    opened = _in_copy(_SNAPSHOT, "replay.json", lambda folder: read_snapshot(folder).graph_indices())
    return Reader("snapshot", as_json(document), _json_inputs(document), opened)


def _snapshot_part(name: str, inputs: Callable[[bytes], st.SearchStrategy[bytes]]) -> Reader:
    valid = (_SNAPSHOT / name).read_bytes()

    def open_reader(folder: Path) -> Read:
        copy = folder / "snapshot"
        shutil.copytree(_SNAPSHOT, copy)
        description = json.loads((copy / "replay.json").read_text())

        def read(content: bytes) -> None:
            (copy / name).write_bytes(content)
            digests = description["sha256"] | {name: hashlib.sha256(content).hexdigest()}
            (copy / "replay.json").write_text(json.dumps(description | {"sha256": digests}))
            read_snapshot(copy).graph_indices()

        return read

    return Reader(name, valid, lambda: inputs(valid), open_reader)


@reader
def snapshot_rows() -> Reader:
    return _snapshot_part("rows.arrow", files)


@reader
def snapshot_index() -> Reader:
    return _snapshot_part("index.arrow", files)


@reader
def snapshot_graphs() -> Reader:
    return _snapshot_part("graphs.safetensors", tensor_files)


@reader
def refresh_decision() -> Reader:
    document = json.loads((_OLD / "predictors/_decisions/000002.json").read_text())

    def open_reader(folder: Path) -> Read:
        return file_reader(
            folder, "_decisions/000002.json", lambda path: (read_records(folder), decided_numbers(folder))
        )

    return Reader("decision", as_json(document), _json_inputs(document), open_reader)


@reader
def generation_links() -> Reader:
    """Names of folders and targets of links among the generations."""

    def open_reader(folder: Path) -> Read:
        made = list[Path]()

        def read(text: str) -> None:
            for path in made:
                path.rmdir()
            made.clear()
            name = text.encode("utf-8", "replace").decode().replace("/", "-").replace("\0", "-")[:60] or "x"
            (folder / "latest").unlink(missing_ok=True)
            (folder / "latest").symlink_to(name)
            if name.isprintable() and name.strip(".") and name != "latest":
                (folder / name).mkdir(exist_ok=True)
                made.append(folder / name)
            champion_number(folder)
            generation_numbers(folder)

        return read

    from tests.fuzz.mutation import texts

    return Reader("links", "000002", lambda: texts(["000002", "²", "7", "latest.bak", "٣"]), open_reader)


@reader
def training_progress() -> Reader:
    document = {"stage": "fit", "epochs": 3, "epoch": 1, "loss": 0.5}

    def open_reader(folder: Path) -> Read:
        return file_reader(folder, "progress.json", lambda path: read_progress(folder))

    return Reader("progress", as_json(document), _json_inputs(document), open_reader)


def _checkpoint(folder: Path) -> tuple[Path, Path]:
    import torch

    progress = TrainingProgress(**{name: _default(kind) for name, kind in TrainingProgress.__annotations__.items()})
    FolderCheckpointer(folder).save("fit", progress, lambda: {"w": torch.ones(2)}, 3)
    return next(folder.glob("fit.json")), next(folder.glob("fit.*.safetensors"))


def _default(kind: str) -> Any:
    return {"int": 0, "float": 0.5, "float | None": None, "bool": False}.get(kind, 0)


@reader
def training_checkpoint() -> Reader:
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        document = json.loads(_checkpoint(Path(made))[0].read_text())

    def open_reader(folder: Path) -> Read:
        _checkpoint(folder)
        return file_reader(folder, "fit.json", lambda path: FolderCheckpointer(folder).load("fit"))

    return Reader("checkpoint", as_json(document), _json_inputs(document), open_reader)


@reader
def training_weights() -> Reader:
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        valid = _checkpoint(Path(made))[1].read_bytes()

    def open_reader(folder: Path) -> Read:
        name = _checkpoint(folder)[1].name
        return file_reader(folder, name, lambda path: FolderCheckpointer(folder).load("fit"))

    return Reader("checkpoint", valid, lambda: tensor_files(valid), open_reader)
