"""Reports that no worker could write: saved by the driver, and kept while the spool cannot be written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from workers.messages.label import AttemptReport
from workers.storage.patience import PATIENCE_S, Patience


class UnsavedReports:
    """Saves reports in their order. One that cannot be saved waits for the next call, with all after it."""

    def __init__(self, save: Callable[[AttemptReport], object], patience_s: float = PATIENCE_S) -> None:
        """save: raises OSError if it cannot."""
        self._save, self._patience = save, Patience("spool", patience_s)
        self._waiting: deque[AttemptReport] = deque()

    def add(self, report: AttemptReport, now: float) -> None:
        """Save a report, or keep it. Raises OSError once that has failed for too long."""
        self._waiting.append(report)
        self.retry(now)

    def retry(self, now: float) -> None:
        """Save what waits. Raises OSError once that has failed for too long."""
        try:
            self._save_all()
        except OSError as error:
            self._patience.failed(error, now)
        else:
            self._patience.worked()

    def close(self) -> None:
        """Save what waits. Raises OSError if that fails."""
        self._save_all()

    def _save_all(self) -> None:
        while self._waiting:
            self._save(self._waiting[0])
            self._waiting.popleft()
