"""What a machine keeps for itself, and what it makes again if it cannot be read."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from tests.fuzz.mutation import as_json, documents, files
from tests.fuzz.readers.reader import Read, Reader, file_reader, reader
from workers.data.array_files import ArrayFiles, read_arrays, write_arrays
from workers.messages.architecture import Architecture
from workers.spaces.kept_flops import KeptFlops


@reader
def kept_flops() -> Reader:
    valid = b'["ab", 1000000.0]\n["cd", 2e6]\n'

    def count(architecture: Architecture) -> float:
        return 1.0

    def open_reader(folder: Path) -> Read:
        def read(content: bytes) -> None:
            before = os.environ.get("AIOP_CACHE")
            os.environ["AIOP_CACHE"] = str(folder)
            try:
                path = KeptFlops("x", (32, 32), None, count)._path
                path.write_bytes(content)
                KeptFlops("x", (32, 32), None, count).of([Architecture.of("x", {})], parallel=False)
            finally:
                os.environ.pop("AIOP_CACHE") if before is None else os.environ.update(AIOP_CACHE=before)

        return read

    def inputs() -> st.SearchStrategy[bytes]:
        lines = [["ab", 1e6], ["cd", 2e6]]
        return st.one_of(documents(lines, _as_lines), files(valid))

    return Reader("flops", valid, inputs, open_reader)


def _as_lines(document: object) -> bytes:
    return b"\n".join(map(as_json, document if isinstance(document, Sequence) else [document]))


@reader
def array_facts() -> Reader:
    document = {"ids": [1, 2], "arrays": ["a"]}

    def open_reader(folder: Path) -> Read:
        write_arrays(folder / "index", ArrayFiles({"a": np.arange(6)}, {"ids": [1, 2]}))
        return file_reader(folder / "index", "facts.json", lambda path: read_arrays(folder / "index"))

    return Reader(
        "facts",
        as_json(document),
        lambda: st.one_of(documents(document, as_json), files(as_json(document))),
        open_reader,
    )


@reader
def array_file() -> Reader:
    out = io.BytesIO()
    np.save(out, np.arange(60).reshape(6, 10))

    def open_reader(folder: Path) -> Read:
        write_arrays(folder / "index", ArrayFiles({"a": np.arange(6)}, {"ids": [1, 2]}))
        return file_reader(folder / "index", "a.npy", lambda path: read_arrays(folder / "index"))

    return Reader("npy", out.getvalue(), lambda: files(out.getvalue()), open_reader)
