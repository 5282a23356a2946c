"""Log lines name the current attempt."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.support.store_reports import report
from workers.execution.attempt_log import log_attempt, log_outcome, set_up_logging
from workers.messages.label import Outcome


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.getLogger("workers").setLevel(logging.NOTSET)


def test_lines_name_task_architecture_and_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    good, bad = report(3, attempt=2), report(4, outcome=Outcome.CRASH)
    with log_attempt(good.job):
        logging.getLogger("mmdet").warning("odd weights")
        log_outcome(good)
    logging.getLogger("workers.storage.folder_spool").warning("disk is slow")
    with log_attempt(bad.job):
        log_outcome(bad)
    lines = [line.split(" ", 2)[2] for line in capsys.readouterr().err.splitlines()]
    request = good.job.request
    who = f"{request.task} {request.architecture.space} {request.architecture.id}"
    assert lines[:2] == [f"INFO {who} attempt 2: started, seed 3", f"WARNING {who} attempt 2: odd weights"]
    assert lines[2].startswith(f"INFO {who} attempt 2: ok after ")
    assert lines[3] == "WARNING between attempts: disk is slow"
    assert "attempt 1: crash after " in lines[5]
