"""The labels of one store version with their encoded graphs, which take long to read from the store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.errors import StoreVacuumedError
from orchestrator.store.base import LabelStore
from orchestrator.store.schema import GRAPHS, LABELS, graph_fingerprint
from predictor.features.graph_pool import GraphPool
from predictor.graph.structure import Graph
from workers.messages.calibrated_recipe import FIDELITY as CALIBRATED

GraphsReadCallback = Callable[[int, int], None]  # gets the number of graphs read so far, and of all
GRAPH_KEY = ("architecture", "task", "fingerprint", "recipe_hash")
_COLUMNS = ("key", *GRAPH_KEY, "space", "genotype", "data", "fidelity", "recipe_name", "value", "metrics")
ADDED_COLUMNS = ("metric", "started")  # which snapshots of earlier versions lack
ROWS = pa.schema([LABELS.field(name) for name in (*_COLUMNS, *ADDED_COLUMNS)])
INDEX = pa.schema([GRAPHS.field(name) for name in GRAPH_KEY])
INDEX = INDEX.append(pa.field("digest", pa.string())).append(pa.field("place", pa.int64()))  # index in the pool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Labels and graphs of one store version.

    version: of the store's labels; -1 if empty. rows: the labels, with schema `ROWS`. index: which graph has which
    index in `pool`, with schema `INDEX`; equal graphs share one index.
    """

    version: int
    rows: pa.Table
    index: pa.Table
    pool: GraphPool

    @classmethod
    def empty(cls) -> Snapshot:
        """Return a snapshot without labels."""
        return cls(-1, ROWS.empty_table(), INDEX.empty_table(), GraphPool.of([]))

    def updated_to(
        self, store: LabelStore, version: int, show: GraphsReadCallback = lambda done, total: None
    ) -> Snapshot:
        """Return the snapshot of a later store version. Only new labels and graphs are read.

        Calibrated labels are left out: they are predictions, from which a predictor learns nothing.
        """
        try:
            rows = store.labels_since(self.version, version, ROWS.names)
        except StoreVacuumedError:
            rows = store.labels(version=version, columns=ROWS.names)
            rows = rows.filter(pc.invert(pc.is_in(rows.column("key"), value_set=self.rows.column("key"))))
        rows = rows.filter(pc.field("fidelity") != CALIBRATED)
        known = self.graph_indices()
        labels = rows.select([*GRAPH_KEY, "fidelity"]).to_pylist()
        missing = dict.fromkeys(
            key for row in labels if row["fidelity"] != "proxy" and (key := graph_key(row)) not in known
        )
        texts = dict[tuple[str, ...], str]()
        if missing:
            for row in store.graphs(architectures={key[0] for key in missing}).to_pylist():
                texts[tuple(row[name] for name in GRAPH_KEY)] = row["graph"]
        index, pool = self._with_graphs({key: texts[key] for key in missing if key in texts}, show)
        return Snapshot(version, pa.concat_tables([self.rows, rows]), index, pool)

    def graph_indices(self) -> dict[tuple[str, ...], int]:
        """Return the index in `pool` of each graph, by its `graph_key`."""
        columns = (self.index.column(name).to_pylist() for name in (*GRAPH_KEY, "place"))
        return {tuple(row[:-1]): row[-1] for row in zip(*columns, strict=True)}

    def _with_graphs(
        self, graphs: Mapping[tuple[str, ...], str], show: GraphsReadCallback
    ) -> tuple[pa.Table, GraphPool]:
        """Return index and pool with more graphs, given as JSON by their `GRAPH_KEY`."""
        columns = (self.index.column(name).to_pylist() for name in ("digest", "place"))
        indices, new_texts, entries = dict(zip(*columns, strict=True)), list[str](), list[dict[str, Any]]()
        for key, text in graphs.items():
            digest = hashlib.sha256(text.encode()).hexdigest()
            if digest not in indices:
                indices[digest] = len(indices)
                new_texts.append(text)
            entries.append(dict(zip(GRAPH_KEY, key, strict=True)) | {"digest": digest, "place": indices[digest]})
        index = pa.concat_tables([self.index, pa.Table.from_pylist(entries, schema=INDEX)])
        if not new_texts:
            return index, self.pool
        return index, GraphPool.join([self.pool, GraphPool.of(_parsed(new_texts, show))])


def graph_key(label: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the key of a label's graph in the store: its columns `GRAPH_KEY`."""
    fingerprint = graph_fingerprint(label["fidelity"], label["fingerprint"])
    return label["architecture"], label["task"], fingerprint, label["recipe_hash"]


def _parsed(texts: list[str], show: GraphsReadCallback) -> Iterator[Graph]:
    for number, text in enumerate(texts):
        show(number + 1, len(texts))
        yield Graph.from_json(text)
