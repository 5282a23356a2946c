"""What a candidate is to learn, and what it leaves behind for the gate: no model is needed to read it."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.predictors.refresh.gate import HeldOut

COMPARED = "compared.arrow"  # in a candidate's folder
_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("set", pa.string()),
    ("task", pa.string()),
    ("architecture", pa.string()),
    ("value", pa.float64()),
    ("champion", pa.float64()),
    ("candidate", pa.float64()),
    ("before", pa.bool_()),
]
_PER_LABEL = [name for name, _ in _COLUMNS[2:]]


@dataclass(frozen=True, slots=True)
class RefreshJob:
    """champion: folder of the generation to start from. version: of the store's labels to learn from."""

    store: str
    version: int
    champion: str

    @property
    def name(self) -> str:
        """Of the lesson, so that one that was killed is found again."""
        return "refresh-" + hashlib.sha256(repr(self).encode()).hexdigest()[:12]


def write_compared(folder: Path, compared: Sequence[HeldOut]) -> None:
    """Whole or not at all: it says that the candidate is complete."""
    rows: list[dict[str, Any]] = []
    for one in compared:
        known = [None] * len(one.values) if one.champion is None else one.champion.tolist()
        columns = (one.architectures.tolist(), one.values.tolist(), known, one.candidate.tolist(), one.before.tolist())
        labels = (dict(zip(_PER_LABEL, row, strict=True)) for row in zip(*columns, strict=True))
        rows += [{"set": one.name, "task": one.task} | label for label in labels]
    table, partial = pa.Table.from_pylist(rows, schema=pa.schema(_COLUMNS)), folder / f".{COMPARED}"
    with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    os.replace(partial, folder / COMPARED)


def read_compared(folder: Path) -> list[HeldOut]:
    """Inverse of `write_compared`."""
    grouped: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in pa.ipc.open_file((folder / COMPARED).read_bytes()).read_all().to_pylist():
        grouped[row["set"]].append(row)
    return [_held_out(name, rows) for name, rows in grouped.items()]


def _held_out(name: str, rows: Sequence[Mapping[str, Any]]) -> HeldOut:
    values, champion, candidate, before = (
        np.array([row[column] for row in rows]) for column in ("value", "champion", "candidate", "before")
    )
    names = np.array([row["architecture"] for row in rows], np.str_)
    known = None if rows[0]["champion"] is None else champion
    return HeldOut(name, rows[0]["task"], names, values, known, candidate, before)
