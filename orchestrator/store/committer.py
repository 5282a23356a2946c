"""Moves reports from a spool into a store."""

from __future__ import annotations

from orchestrator.store.base import CommitResult, LabelStore
from workers.storage.spool import Spool


class Committer:
    """Commits what waits in the spool, at most `batch` reports at a time."""

    def __init__(self, store: LabelStore, spool: Spool, batch: int = 256) -> None:
        self._store = store
        self._spool = spool
        self._batch = batch

    def run_once(self) -> CommitResult | None:
        """Commits one batch; None when nothing waits.

        Files go last: killed anywhere before that, the next run commits the same reports again, and the store drops
        those it has.
        """
        reports = self._spool.read(self._batch)
        if not reports:
            return None
        committed = self._store.commit(reports)
        self._spool.remove(reports)
        return committed
