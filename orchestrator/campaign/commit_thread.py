"""Commits beside the driver loop, so that a slow store does not leave workers without work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class CommitThread:
    """Calls `commit` in one thread, never twice at once. Its errors come out at the next call here."""

    def __init__(self, commit: Callable[[], object], every: float) -> None:
        self._commit = commit
        self._every = every
        self._last: float | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._pending: Future[object] | None = None

    def tick(self, now: float) -> None:
        """Start a commit if the last one is over and old enough."""
        if self._pending is not None and not self._pending.done():
            return
        if self._pending is not None:
            self._pending.result()
            self._pending = None
        if self._last is None or now - self._last >= self._every:
            self._last = now
            self._pending = self._thread.submit(self._commit)

    def close(self) -> None:
        """Wait for the commit in progress, then commit what is left."""
        self._thread.shutdown(wait=True)
        self._commit()
        if self._pending is not None:
            self._pending.result()
