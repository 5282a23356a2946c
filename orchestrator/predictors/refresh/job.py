"""What to update the champion on, and the predictions that a trained candidate leaves for the gate.

Reading either loads no model.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.predictors.refresh.gate import HeldOutSet
from predictor.atomic_write import replace_file

COMPARISON = "compared.arrow"  # in a candidate's folder
_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("set", pa.string()),
    ("task", pa.string()),
    ("architecture", pa.string()),
    ("value", pa.float64()),
    ("champion", pa.float64()),
    ("candidate", pa.float64()),
    ("before", pa.bool_()),
]
_LABEL_COLUMNS = [name for name, _ in _COLUMNS[2:]]


@dataclass(frozen=True, slots=True)
class RefreshJob:
    """Update the generation in the folder `champion` on the labels of the store's `version`."""

    store: str
    version: int
    champion: str

    @property
    def name(self) -> str:
        """Name of the candidate's folder, equal for equal jobs, so that a killed refresh is resumed."""
        return "refresh-" + hashlib.sha256(repr(self).encode()).hexdigest()[:12]


def write_comparison(folder: Path, held_out: Sequence[HeldOutSet]) -> None:
    """Write the predictions for the hold-out. The file marks the candidate as complete. Raises OSError."""
    rows: list[dict[str, Any]] = []
    for labels in held_out:
        champion = [None] * len(labels.values) if labels.champion is None else labels.champion.tolist()
        columns = (
            labels.architectures.tolist(),
            labels.values.tolist(),
            champion,
            labels.candidate.tolist(),
            labels.before.tolist(),
        )
        of_labels = (dict(zip(_LABEL_COLUMNS, row, strict=True)) for row in zip(*columns, strict=True))
        rows += [{"set": labels.name, "task": labels.task} | of_label for of_label in of_labels]
    table, sink = pa.Table.from_pylist(rows, schema=pa.schema(_COLUMNS)), pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    replace_file(folder / COMPARISON, sink.getvalue().to_pybytes())


def read_comparison(folder: Path) -> list[HeldOutSet]:
    """Inverse of `write_comparison`."""
    by_set: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in pa.ipc.open_file((folder / COMPARISON).read_bytes()).read_all().to_pylist():
        by_set[row["set"]].append(row)
    return [_held_out_set(name, rows) for name, rows in by_set.items()]


def _held_out_set(name: str, rows: Sequence[Mapping[str, Any]]) -> HeldOutSet:
    values, champion, candidate, before = (
        np.array([row[column] for row in rows]) for column in ("value", "champion", "candidate", "before")
    )
    return HeldOutSet(
        name=name,
        task=rows[0]["task"],
        architectures=np.array([row["architecture"] for row in rows], np.str_),
        values=values,
        champion=None if rows[0]["champion"] is None else champion,
        candidate=candidate,
        before=before,
    )
