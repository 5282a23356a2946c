"""Move reports from a spool into a store."""

from __future__ import annotations

from orchestrator.store.base import CommitResult, LabelStore
from workers.storage.spool import Spool


class Committer:
    """Commits the reports in a spool, at most `batch` at a time."""

    def __init__(self, store: LabelStore, spool: Spool, batch: int = 256) -> None:
        self._store = store
        self._spool = spool
        self._batch = batch

    def run_once(self) -> CommitResult | None:
        """Commit one batch; return None if the spool is empty.

        The spool is cleared last. After a kill the next run commits the same reports again, and the store skips those
        it has.
        """
        reports = self._spool.read(self._batch)
        if not reports:
            return None
        committed = self._store.commit(reports)
        self._spool.remove(reports)
        return committed
