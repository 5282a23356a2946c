"""A place that cannot be written is tried again for a time."""

from __future__ import annotations

import logging

import pytest

from workers.storage.patience import Patience

FULL = OSError(28, "No space left on device")


def test_failures_are_accepted_for_a_time(caplog: pytest.LogCaptureFixture) -> None:
    patience = Patience("spool", 10.0)
    patience.failed(FULL, 100.0)
    patience.failed(FULL, 109.9)
    with pytest.raises(OSError, match="No space"):
        patience.failed(FULL, 110.0)
    assert [record.message for record in caplog.records] == [
        "spool: [Errno 28] No space left on device: trying again for up to 10 s"
    ]


def test_a_success_restarts_the_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    patience = Patience("spool", 10.0)
    patience.worked()
    patience.failed(FULL, 100.0)
    patience.worked()
    patience.failed(FULL, 115.0)
    assert [record.message.split(":")[1] for record in caplog.records] == [
        " [Errno 28] No space left on device",
        " can be written again",
        " [Errno 28] No space left on device",
    ]
