"""Logging of a worker: each line names the attempt that it belongs to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from workers.messages.label import AttemptReport, LabelJob

log = logging.getLogger(__name__)

_FORMAT = "%(asctime)s %(levelname)s %(attempt)s: %(message)s"


class _AttemptFilter(logging.Filter):
    attempt = "between attempts"

    def filter(self, record: logging.LogRecord) -> bool:
        record.attempt = self.attempt
        return True


_filter = _AttemptFilter()


def set_up_logging() -> None:
    """Log to stderr with task, architecture and number of the current attempt in each line of this process."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(_FORMAT))
    handler.addFilter(_filter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("workers").setLevel(logging.INFO)


@contextmanager
def log_attempt(job: LabelJob) -> Iterator[None]:
    """Log the start of `job` and name it in all lines within the block."""
    request = job.request
    _filter.attempt = f"{request.task} {request.architecture.space} {request.architecture.id} attempt {job.attempt}"
    log.info("started, seed %d", request.seed)
    try:
        yield
    finally:
        _filter.attempt = _AttemptFilter.attempt


def log_outcome(report: AttemptReport) -> None:
    """Log in one line how the attempt ended."""
    level = logging.INFO if report.measurement else logging.WARNING
    value = f", {report.measurement.metric} {report.measurement.value:.4f}" if report.measurement else ""
    log.log(
        level, "%s after %.1f s%s%s", report.outcome, report.seconds, value, report.message and f": {report.message}"
    )
