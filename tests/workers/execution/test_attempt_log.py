"""Log lines name the attempt under way."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.support.store_reports import report
from workers.execution.attempt_log import attempt, log_end, name_attempts
from workers.messages.label import Outcome


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.getLogger("workers").setLevel(logging.NOTSET)


def test_lines_name_task_architecture_and_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    name_attempts()
    good, bad = report(3, attempt=2), report(4, outcome=Outcome.CRASH)
    with attempt(good.job):
        logging.getLogger("mmdet").warning("odd weights")
        log_end(good)
    logging.getLogger("workers.storage.folder_spool").warning("disk is slow")
    with attempt(bad.job):
        log_end(bad)
    lines = [line.split(" ", 2)[2] for line in capsys.readouterr().err.splitlines()]
    request = good.job.request
    who = f"{request.task} {request.architecture.space} {request.architecture.id}"
    assert lines[:2] == [f"INFO {who} attempt 2: begins, seed 3", f"WARNING {who} attempt 2: odd weights"]
    assert lines[2].startswith(f"INFO {who} attempt 2: ok after ")
    assert lines[3] == "WARNING between attempts: disk is slow"
    assert "attempt 1: crash after " in lines[5]
