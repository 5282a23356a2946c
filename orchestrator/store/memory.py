"""A label store in memory, for tests and dry runs."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Unpack

import pyarrow as pa

from orchestrator.errors import StoreError
from orchestrator.store.base import CommitResult, LabelFilter, required_values
from orchestrator.store.schema import ATTEMPTS, GRAPHS, LABELS, TableRows, report_rows, table_rows
from workers.messages.label import AttemptReport, Outcome


def _matching(rows: dict[str, dict[str, Any]], filters: Mapping[str, object]) -> list[dict[str, Any]]:
    required = required_values(filters)
    return [row for row in rows.values() if all(row[column] == value for column, value in required.items())]


class MemoryLabelStore:
    """A store that keeps its rows in dictionaries and ends with the process."""

    def __init__(self) -> None:
        self._labels: dict[str, dict[str, Any]] = {}
        self._graphs: dict[str, dict[str, Any]] = {}
        self._attempts: dict[str, dict[str, Any]] = {}
        self._version = -1
        self._added_by: dict[str, int] = {}  # the version that added a label, by its key

    def commit(self, reports: Sequence[AttemptReport]) -> CommitResult:
        """See `LabelStore.commit`."""
        return self._append(report_rows(reports))

    def append_rows(self, labels: pa.Table, graphs: pa.Table, attempts: pa.Table) -> CommitResult:
        """See `LabelStore.append_rows`."""
        return self._append(table_rows(labels, graphs, attempts))

    def _append(self, rows: TableRows) -> CommitResult:
        start, before, attempted = time.perf_counter(), len(self._labels), len(self._attempts)
        for row in rows.labels:
            if self._labels.setdefault(row["key"], row) is row:
                self._added_by[row["key"]] = self._version + 1
        for row in rows.graphs:
            self._graphs.setdefault(row["key"], row)
        for row in rows.attempts:
            self._attempts.setdefault(row["attempt_id"], row)
        added = len(self._labels) - before
        self._version += bool(added)
        return CommitResult(
            labels=added,
            attempts=len(self._attempts) - attempted,
            duplicates=len(rows.labels) - added,
            version=self._version,
            seconds=time.perf_counter() - start,
            rows=len(self._labels),
        )

    def keys(self, **filters: Unpack[LabelFilter]) -> set[str]:
        """See `LabelStore.keys`."""
        return {row["key"] for row in _matching(self._labels, filters)}

    def finally_failed(self) -> set[str]:
        """See `LabelStore.finally_failed`."""
        failed = {row["key"] for row in self._attempts.values() if row["final"] and row["outcome"] != Outcome.OK}
        return failed - self._labels.keys()

    def labels(
        self,
        *,
        version: int | None = None,
        columns: Sequence[str] | None = None,
        **filters: Unpack[LabelFilter],
    ) -> pa.Table:
        """See `LabelStore.labels`."""
        if version is not None and version > self._version:
            raise StoreError(f"label store in memory: has no version {version}: choose another")
        newest = self._version if version is None else version
        rows = [row for row in _matching(self._labels, filters) if self._added_by[row["key"]] <= newest]
        return pa.Table.from_pylist(rows, schema=LABELS).select(columns or LABELS.names)

    def labels_since(self, since: int, version: int | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """See `LabelStore.labels_since`."""
        newest = self._version if version is None else version
        if max(since, newest) > self._version:
            raise StoreError(f"label store in memory: has no version {max(since, newest)}: choose another")
        rows = [row for row in self._labels.values() if since < self._added_by[row["key"]] <= newest]
        return pa.Table.from_pylist(rows, schema=LABELS).select(columns or LABELS.names)

    def attempts(
        self,
        task: str | None = None,
        space: str | None = None,
        campaign: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """See `LabelStore.attempts`."""
        filters = {"task": task, "space": space, "campaign": campaign}
        rows = pa.Table.from_pylist(_matching(self._attempts, filters), schema=ATTEMPTS)
        return rows.select(columns or ATTEMPTS.names)

    def graphs(
        self, task: str | None = None, space: str | None = None, architectures: Collection[str] | None = None
    ) -> pa.Table:
        """See `LabelStore.graphs`."""
        rows = _matching(self._graphs, {"task": task, "space": space})
        matching = [row for row in rows if architectures is None or row["architecture"] in architectures]
        return pa.Table.from_pylist(matching, schema=GRAPHS)

    def version(self) -> int:
        """See `LabelStore.version`."""
        return self._version

    def compact(self) -> None:
        """Nothing to do in memory."""
