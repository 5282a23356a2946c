"""The time of a campaign: that of day at the start of the process, but steady."""

from __future__ import annotations

import time

_START = time.time() - time.monotonic()


def steady_time() -> float:
    """Return seconds since the epoch as the process knew it at its start.

    A clock that is set, or a laptop that sleeps, changes no duration: otherwise all labels in progress would seem to be
    silent for as long as the clock jumped, and be killed.
    """
    return _START + time.monotonic()
