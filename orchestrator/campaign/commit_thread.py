"""Commit in a thread next to the driver loop, so that a slow store does not delay the workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from orchestrator.errors import StoreError
from workers.storage.patience import PATIENCE_S, Patience

# What a commit returns: keys of waiting labels that are in the store, or None.
Commit = Callable[[], Iterable[str] | None]


class CommitThread:
    """Calls `commit` in one thread, one call at a time. An error in it is raised by the next method call.

    A StoreError is raised only once commits have failed for a time: meanwhile the labels wait in the spool.
    """

    def __init__(self, commit: Commit, interval_s: float, patience_s: float = PATIENCE_S) -> None:
        self._commit = commit
        self._interval_s = interval_s
        self._patience = Patience("commit", patience_s)
        self._last_commit: float | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._pending: Future[Iterable[str] | None] | None = None

    def tick(self, now: float) -> Iterable[str]:
        """Start a commit if the last one has ended and started at least `interval_s` ago.

        Returns what the last one returned, once; nothing while it runs.
        """
        if self._pending is not None and not self._pending.done():
            return ()
        stored = () if self._pending is None else self._result(self._pending, now)
        self._pending = None
        if self._last_commit is None or now - self._last_commit >= self._interval_s:
            self._last_commit = now
            self._pending = self._thread.submit(self._commit)
        return stored or ()

    def close(self) -> None:
        """Wait for the running commit, then commit the rest."""
        self._thread.shutdown(wait=True)
        self._commit()
        error = None if self._pending is None else self._pending.exception()
        if error is not None and not isinstance(error, StoreError):  # what the store refused is committed now
            raise error

    def _result(self, ended: Future[Iterable[str] | None], now: float) -> Iterable[str] | None:
        try:
            stored = ended.result()
        except StoreError as error:
            self._patience.failed(error, now)
            return None
        self._patience.worked()
        return stored
