"""What a label store holds: Delta logs and Parquet files, the spool, artifacts, records of searches."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from orchestrator.search.record import Chosen, SearchRecord, open_records
from orchestrator.store.delta import DeltaLabelStore
from orchestrator.store.schema import ATTEMPTS, GRAPHS, LABELS, report_rows
from tests.fuzz.mutation import as_json, documents, files
from tests.fuzz.readers.reader import Read, Reader, file_reader, reader
from tests.support.store_reports import report
from workers.storage.folder_spool import FolderSpool
from workers.storage.manifest import file_hashes, verify_artifact
from workers.storage.report_json import report_file_name, report_to_json

_STORE = Path(__file__).parents[2] / "fixtures/v0_1/store"


def _store_file(pattern: str, inputs: Callable[[bytes], st.SearchStrategy[bytes]], share: float = 0.2) -> Reader:
    """Return a reader of a store with one of its files spoilt."""
    source = sorted(_STORE.glob(pattern))[0]

    def open_reader(folder: Path) -> Read:
        copy = folder / "store"
        shutil.copytree(_STORE, copy)

        def read(path: Path) -> None:
            store = DeltaLabelStore(copy)
            store.labels()
            store.labels_since(0)
            store.attempts()
            store.graphs()
            store.keys()

        return file_reader(copy, str(source.relative_to(_STORE)), read)

    return Reader(source.name, source.read_bytes(), lambda: inputs(source.read_bytes()), open_reader, share)


def _log_inputs(valid: bytes) -> st.SearchStrategy[bytes]:
    entries = [json.loads(line) for line in valid.splitlines()]

    def write(document: Any) -> bytes:
        lines = document if isinstance(document, list) else [document]
        return b"\n".join(map(as_json, lines))

    return st.one_of(documents(entries, write), documents(entries, write), files(valid))


@reader
def delta_log_of_creation() -> Reader:
    return _store_file("labels/_delta_log/*0.json", _log_inputs)


@reader
def delta_log_of_append() -> Reader:
    return _store_file("labels/_delta_log/*1.json", _log_inputs)


@reader
def parquet_labels() -> Reader:
    return _store_file("labels/*.parquet", files)


@reader
def parquet_graphs() -> Reader:
    return _store_file("graphs/*.parquet", files, share=0.1)


@reader
def spool_report() -> Reader:
    """A report in the spool: it is quarantined, or can be committed."""
    graph = json.dumps(
        {
            "version": 1,
            "input_size": [3, 8, 8],
            "nodes": [["conv", [], 3, 4, 64, 64, [3, 3], [1, 1], [1, 1], 1, 1, 9, 8]],
        }
    )
    given = report(graph=graph)
    name, document = report_file_name(given), json.loads(report_to_json(given))

    def open_reader(folder: Path) -> Read:
        spool = FolderSpool(folder / "spool")

        def read(path: Path) -> None:
            found = spool.read()
            rows = report_rows(found)
            for schema, part in ((LABELS, rows.labels), (GRAPHS, rows.graphs), (ATTEMPTS, rows.attempts)):
                pa.Table.from_pylist(part, schema=schema)
            spool.remove(found)
            assert not spool.pending()
            shutil.rmtree(folder / "spool/bad", ignore_errors=True)

        return file_reader(folder / "spool", name, read)

    def inputs() -> st.SearchStrategy[bytes]:
        return st.one_of(documents(document, as_json), documents(document, as_json), files(as_json(document)))

    return Reader("spool", as_json(document), inputs, open_reader)


@reader
def artifact_manifest() -> Reader:
    content = b"weights"

    def open_reader(folder: Path) -> Read:
        (folder / "a").mkdir()
        (folder / "a/w.safetensors").write_bytes(content)
        return file_reader(folder / "a", "manifest.json", lambda path: verify_artifact(folder / "a"))

    import tempfile

    with tempfile.TemporaryDirectory() as made:
        (Path(made) / "w.safetensors").write_bytes(content)
        document = file_hashes(Path(made))
    return Reader(
        "manifest",
        as_json(document),
        lambda: st.one_of(documents(document, as_json), files(as_json(document))),
        open_reader,
    )


@reader
def search_record() -> Reader:
    chosen = Chosen('{"a":1}', "best: 0.5", 0.5, 0.1)
    record = SearchRecord({"task": "seg", "limits": ["60%"]}, ("ab",), 4, ((chosen, chosen), (chosen,)), 3.5, ("x",))
    document = json.loads(record.to_json())

    def open_reader(folder: Path) -> Read:
        records = open_records(str(folder))

        def read(path: Path) -> None:
            found = records.load("0123")
            assert found is not None
            found.id, found.chosen, found.to_json()

        return file_reader(folder, "0123.json", read)

    def inputs() -> st.SearchStrategy[bytes]:
        return st.one_of(documents(document, as_json), documents(document, as_json), files(as_json(document)))

    return Reader("record", as_json(document), inputs, open_reader)


@reader
def search_result() -> Reader:
    document = {"search": "ab", "best": {"model": "x", "value": 0.5}, "front": []}

    def open_reader(folder: Path) -> Read:
        records = open_records(str(folder))
        return file_reader(folder, "0123-result.json", lambda path: records.results())

    def inputs() -> st.SearchStrategy[bytes]:
        return st.one_of(documents(document, as_json), files(as_json(document)))

    return Reader("result", as_json(document), inputs, open_reader)
