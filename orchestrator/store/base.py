"""What every label store does."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from workers.messages.label import AttemptReport


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What one commit added. `duplicates` counts the labels left out because their key has one already.

    rows: labels that the store then held, as far as this process knows.
    """

    labels: int
    attempts: int
    duplicates: int
    version: int
    seconds: float
    rows: int


class LabelStore(Protocol):
    """Labels, graphs and attempts. A key has at most one row in each, whoever commits, and when."""

    def commit(self, reports: Sequence[AttemptReport]) -> CommitResult:
        """Adds what the store does not hold yet. The same reports may be committed again at no harm."""
        ...

    def adopt(self, labels: pa.Table, graphs: pa.Table, attempts: pa.Table) -> CommitResult:
        """Adds rows of another store, as they are, of which this one does not hold the keys yet."""
        ...

    def keys(
        self,
        task: str | None = None,
        space: str | None = None,
        data: str | None = None,
        fidelity: str | None = None,
        campaign: str | None = None,
    ) -> set[str]:
        """Keys of the labels that match every filter given."""
        ...

    def finally_failed(self) -> set[str]:
        """Keys that have a final failed attempt and no label."""
        ...

    def labels(
        self,
        task: str | None = None,
        space: str | None = None,
        data: str | None = None,
        fidelity: str | None = None,
        campaign: str | None = None,
        version: int | None = None,
    ) -> pa.Table:
        """Rows of the labels that match every filter given, in the columns of `schema.LABELS`.

        version: as they were then; now, where it is not given. Raises StoreError for one that does not exist.
        """
        ...

    def labels_since(self, since: int, version: int | None = None) -> pa.Table:
        """Labels that came after version `since`, up to `version` or the newest, in the columns of `schema.LABELS`.

        Raises StoreVacuumedError where `since` is too long ago, StoreError for a version that there never was.
        """
        ...

    def attempts(self, task: str | None = None, space: str | None = None, campaign: str | None = None) -> pa.Table:
        """Rows of the attempts that match every filter given, in the columns of `schema.ATTEMPTS`."""
        ...

    def graphs(
        self, task: str | None = None, space: str | None = None, architectures: Collection[str] | None = None
    ) -> pa.Table:
        """Graphs of the labels' networks that match every filter given, in the columns of `schema.GRAPHS`.

        architectures: ids.
        """
        ...

    def version(self) -> int:
        """Grows with every commit that adds a label; -1 before the first."""
        ...

    def compact(self) -> None:
        """Makes later reads faster; changes no row."""
        ...
