"""Labels of one version of a store with their networks' graphs in numbers, which take long to read from the store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.errors import StoreForgotError
from orchestrator.store.base import LabelStore
from orchestrator.store.schema import GRAPHS, LABELS, graph_fingerprint
from predictor.features.graph_pool import GraphPool
from predictor.graph.structure import Graph

ProgressCallback = Callable[[int, int], None]
GRAPH_KEY = ("architecture", "task", "fingerprint", "recipe_hash")
_COLUMNS = ("key", *GRAPH_KEY, "space", "genotype", "data", "fidelity", "recipe_name", "value", "metrics")
ROWS = pa.schema([LABELS.field(name) for name in _COLUMNS])
INDEX = pa.schema([GRAPHS.field(name) for name in GRAPH_KEY])
INDEX = INDEX.append(pa.field("digest", pa.string())).append(pa.field("place", pa.int64()))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """version: of the store's labels. rows: the labels, as `ROWS`. index: as `INDEX`, which graph is at which place of
    `pool`; equal graphs share one.
    """

    version: int
    rows: pa.Table
    index: pa.Table
    pool: GraphPool

    @classmethod
    def nothing(cls) -> Snapshot:
        """From which all others grow."""
        return cls(-1, ROWS.empty_table(), INDEX.empty_table(), GraphPool.of([]))

    def grown(self, store: LabelStore, version: int, show: ProgressCallback = lambda done, total: None) -> Snapshot:
        """What it is at a later version: only labels that came since are read, and of graphs those not read yet."""
        try:
            rows = store.labels_since(self.version, version).select(ROWS.names)
        except StoreForgotError:
            rows = store.labels(version=version).select(ROWS.names)
            rows = rows.filter(pc.invert(pc.is_in(rows.column("key"), value_set=self.rows.column("key"))))
        known = self.places()
        labels = rows.select([*GRAPH_KEY, "fidelity"]).to_pylist()
        missing = dict.fromkeys(
            key for row in labels if row["fidelity"] != "proxy" and (key := graph_key(row)) not in known
        )
        texts = dict[tuple[str, ...], str]()
        if missing:
            for row in store.graphs(architectures={key[0] for key in missing}).to_pylist():
                texts[tuple(row[name] for name in GRAPH_KEY)] = row["graph"]
        index, pool = self._with({key: texts[key] for key in missing if key in texts}, show)
        return Snapshot(version, pa.concat_tables([self.rows, rows]), index, pool)

    def places(self) -> dict[tuple[str, ...], int]:
        """By what `graph_key` gives of a label, the place of its network's graph."""
        columns = (self.index.column(name).to_pylist() for name in (*GRAPH_KEY, "place"))
        return {tuple(row[:-1]): row[-1] for row in zip(*columns, strict=True)}

    def _with(self, graphs: Mapping[tuple[str, ...], str], show: ProgressCallback) -> tuple[pa.Table, GraphPool]:
        """Index and pool with more graphs, given as JSON by their `GRAPH_KEY`."""
        columns = (self.index.column(name).to_pylist() for name in ("digest", "place"))
        places, fresh, entries = dict(zip(*columns, strict=True)), list[str](), list[dict[str, Any]]()
        for key, text in graphs.items():
            digest = hashlib.sha256(text.encode()).hexdigest()
            if digest not in places:
                places[digest] = len(places)
                fresh.append(text)
            entries.append(dict(zip(GRAPH_KEY, key, strict=True)) | {"digest": digest, "place": places[digest]})
        index = pa.concat_tables([self.index, pa.Table.from_pylist(entries, schema=INDEX)])
        return index, GraphPool.join([self.pool, GraphPool.of(_read(fresh, show))]) if fresh else self.pool


def graph_key(label: Mapping[str, Any]) -> tuple[str, ...]:
    """Where the graph of a label's network stands: its columns `GRAPH_KEY`."""
    fingerprint = graph_fingerprint(label["fidelity"], label["fingerprint"])
    return label["architecture"], label["task"], fingerprint, label["recipe_hash"]


def _read(texts: list[str], show: ProgressCallback) -> Iterator[Graph]:
    for number, text in enumerate(texts):
        show(number + 1, len(texts))
        yield Graph.from_json(text)
