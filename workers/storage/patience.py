"""How long a place that cannot be written is tried again: a full disk or a network may recover."""

from __future__ import annotations

import logging

from predictor.errors import one_line

log = logging.getLogger(__name__)

PATIENCE_S = 60.0


class Patience:
    """Failures in a row, up to a time. An error is logged when the failures begin."""

    def __init__(self, place: str, limit_s: float = PATIENCE_S) -> None:
        """place: what cannot be written, for the log."""
        self._place, self._limit_s = place, limit_s
        self._since: float | None = None

    def failed(self, error: Exception, now: float) -> None:
        """Accept a failure. Raises `error` if failures have lasted for the time. now: seconds of any clock."""
        if self._since is None:
            self._since = now
            log.warning("%s: %s: trying again for up to %.3g s", self._place, one_line(error), self._limit_s)
        if now - self._since >= self._limit_s:
            raise error

    def worked(self) -> None:
        """Forget the failures so far."""
        if self._since is not None:
            log.warning("%s: can be written again", self._place)
        self._since = None
