"""The contract of a label store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict, Unpack

import pyarrow as pa

from workers.messages.label import AttemptReport


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What one commit added.

    duplicates: labels skipped because the store has their key. rows: labels in the store after the commit, as far as
    this process knows.
    """

    labels: int
    attempts: int
    duplicates: int
    version: int
    seconds: float
    rows: int


class LabelFilter(TypedDict, total=False):
    """The values that rows must have in these columns. A column that is None or missing matches every row."""

    task: str | None
    space: str | None
    data: str | None
    fidelity: str | None
    campaign: str | None


def required_values(filters: Mapping[str, object]) -> dict[str, object]:
    """Return the columns of a filter that are not None. Raises TypeError for a column that is not in `LabelFilter`."""
    if unknown := filters.keys() - LabelFilter.__annotations__:
        known = ", ".join(LabelFilter.__annotations__)
        raise TypeError(f"no filter is called {', '.join(sorted(unknown))}: use {known}")
    return {column: value for column, value in filters.items() if value is not None}


class LabelStore(Protocol):
    """Labels, graphs and attempts. A key has at most one row in each table, however many processes commit."""

    def commit(self, reports: Sequence[AttemptReport]) -> CommitResult:
        """Add what the store does not hold yet. Committing the same reports again changes nothing."""
        ...

    def append_rows(self, labels: pa.Table, graphs: pa.Table, attempts: pa.Table) -> CommitResult:
        """Add rows of another store unchanged, except those whose keys this store has."""
        ...

    def keys(self, **filters: Unpack[LabelFilter]) -> set[str]:
        """Return the keys of the labels that match every filter."""
        ...

    def finally_failed(self) -> set[str]:
        """Return the keys that have a final failed attempt and no label."""
        ...

    def labels(
        self,
        *,
        version: int | None = None,
        columns: Sequence[str] | None = None,
        **filters: Unpack[LabelFilter],
    ) -> pa.Table:
        """Return the labels that match every filter, with the columns of `schema.LABELS`.

        version: of the store, by default the newest. columns: to read only these; the recipe alone is about 1 kB.
        Raises StoreError for a version that does not exist.
        """
        ...

    def labels_since(self, since: int, version: int | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Return labels added after version `since`, up to `version` or the newest, as `schema.LABELS`.

        columns: to read only these. Raises StoreVacuumedError if `since` was vacuumed, StoreError for a version that
        never existed.
        """
        ...

    def attempts(
        self,
        task: str | None = None,
        space: str | None = None,
        campaign: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Return the attempts that match every filter, with the columns of `schema.ATTEMPTS`, or only some of them."""
        ...

    def graphs(
        self, task: str | None = None, space: str | None = None, architectures: Collection[str] | None = None
    ) -> pa.Table:
        """Return the graphs of labelled networks that match every filter, with the columns of `schema.GRAPHS`.

        architectures: ids of architectures.
        """
        ...

    def version(self) -> int:
        """Return the version, which grows with every commit that adds a label; -1 before the first."""
        ...

    def compact(self) -> None:
        """Make later reads faster; no row changes."""
        ...
