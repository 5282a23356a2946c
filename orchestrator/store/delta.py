"""The label store on Delta Lake: local folders and object stores alike."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence, Set
from pathlib import Path
from typing import Unpack

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.store.base import CommitResult, LabelFilter, required_values
from orchestrator.store.keyed_table import KeyedTable, distinct_strings
from orchestrator.store.schema import ATTEMPTS, GRAPHS, LABELS, TableRows, report_rows, table_rows
from workers.messages.label import AttemptReport, Outcome

_FAILED = pc.field("outcome") != Outcome.OK.value


def _all_equal(filters: Mapping[str, object]) -> pc.Expression | None:
    """The condition that the columns have the wanted values; None for no condition."""
    condition: pc.Expression | None = None
    for column, value in required_values(filters).items():
        equal = pc.field(column) == value
        condition = equal if condition is None else condition & equal
    return condition


class DeltaLabelStore:
    """Three Delta tables, `<uri>/labels`, `<uri>/graphs` and `<uri>/attempts`, each created by the first commit to it.

    Many processes may commit to the same store. An object must not be shared between threads.
    """

    def __init__(self, uri: str | Path, storage_options: dict[str, str] | None = None) -> None:
        root = str(uri).removeprefix("file://").rstrip("/")
        self._labels = KeyedTable(f"{root}/labels", LABELS, "key", storage_options)
        self._graphs = KeyedTable(f"{root}/graphs", GRAPHS, "key", storage_options)
        self._attempts = KeyedTable(f"{root}/attempts", ATTEMPTS, "attempt_id", storage_options)

    def commit(self, reports: Sequence[AttemptReport]) -> CommitResult:
        """See `LabelStore.commit`."""
        return self._append(report_rows(reports))

    def append_rows(self, labels: pa.Table, graphs: pa.Table, attempts: pa.Table) -> CommitResult:
        """See `LabelStore.append_rows`."""
        return self._append(table_rows(labels, graphs, attempts))

    def _append(self, rows: TableRows) -> CommitResult:
        """Append graphs, labels, attempts in this order: an attempt always has its label and a label its graph."""
        start = time.perf_counter()
        self._graphs.append(rows.graphs)
        added = self._labels.append(rows.labels)
        return CommitResult(
            labels=added,
            attempts=self._attempts.append(rows.attempts),
            duplicates=len(rows.labels) - added,
            version=self._labels.known_version,
            seconds=time.perf_counter() - start,
            rows=self._labels.known_rows,
        )

    def keys(self, **filters: Unpack[LabelFilter]) -> set[str]:
        """See `LabelStore.keys`."""
        condition = _all_equal(filters)
        if condition is None:
            return self._labels.keys()
        return distinct_strings(self._labels.read(condition, ["key"]).column("key"))

    def finally_failed(self) -> set[str]:
        """See `LabelStore.finally_failed`."""
        finally_failed = pc.field("final") & _FAILED
        return self.unlabelled(distinct_strings(self._attempts.read(finally_failed, ["key"]).column("key")))

    def unlabelled(self, keys: Set[str]) -> set[str]:
        """Return those of some keys that have no label. Few keys need little memory, however many labels there are."""
        if not keys:
            return set()
        among = pc.field("key").isin(pa.array(sorted(keys), pa.string()))
        return set(keys) - distinct_strings(self._labels.read(among, ["key"]).column("key"))

    def labelled(self, keys: Set[str]) -> frozenset[str]:
        """Return those of some keys that have a label, for a process that commits: it knows the keys already."""
        return self._labels.held(keys)

    def labels(
        self,
        *,
        version: int | None = None,
        columns: Sequence[str] | None = None,
        encoded: Collection[str] = (),
        **filters: Unpack[LabelFilter],
    ) -> pa.Table:
        """See `LabelStore.labels`. encoded: see `KeyedTable.read`."""
        return self._labels.read(_all_equal(filters), columns, version, encoded)

    def labels_since(self, since: int, version: int | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """See `LabelStore.labels_since`."""
        return self._labels.rows_since(since, version, columns)

    def count(self) -> int:
        """Return the number of labels."""
        return self._labels.count()

    def attempts(
        self,
        task: str | None = None,
        space: str | None = None,
        campaign: str | None = None,
        columns: Sequence[str] | None = None,
        encoded: Collection[str] = (),
    ) -> pa.Table:
        """See `LabelStore.attempts`. encoded: see `KeyedTable.read`."""
        filters = {"task": task, "space": space, "campaign": campaign}
        return self._attempts.read(_all_equal(filters), columns, encoded=encoded)

    def failed_attempts(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the attempts that made no label, with the columns of `schema.ATTEMPTS`, or only some of them."""
        return self._attempts.read(_FAILED, columns)

    def graphs(
        self, task: str | None = None, space: str | None = None, architectures: Collection[str] | None = None
    ) -> pa.Table:
        """See `LabelStore.graphs`."""
        condition = _all_equal({"task": task, "space": space})
        if architectures is not None:
            among = pc.field("architecture").isin(pa.array(sorted(architectures), pa.string()))
            condition = among if condition is None else condition & among
        return self._graphs.read(condition)

    def version(self) -> int:
        """See `LabelStore.version`: the Delta version of the labels table."""
        return self._labels.version()

    def compact(self) -> None:
        """See `LabelStore.compact`: merge the small files that commits leave."""
        self._labels.compact()
        self._graphs.compact()
        self._attempts.compact()
