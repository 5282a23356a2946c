"""Log lines of a worker name the attempt they belong to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from workers.messages.label import AttemptReport, LabelJob

log = logging.getLogger(__name__)

_FORMAT = "%(asctime)s %(levelname)s %(attempt)s: %(message)s"


class _Named(logging.Filter):
    attempt = "between attempts"

    def filter(self, record: logging.LogRecord) -> bool:
        record.attempt = self.attempt
        return True


_named = _Named()


def name_attempts() -> None:
    """Give every line of this process, on stderr, the task, architecture and number of the attempt under way."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(_FORMAT))
    handler.addFilter(_named)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("workers").setLevel(logging.INFO)


@contextmanager
def attempt(job: LabelJob) -> Iterator[None]:
    """Lines from now on belong to `job`."""
    request = job.request
    _named.attempt = f"{request.task} {request.architecture.space} {request.architecture.id} attempt {job.attempt}"
    log.info("begins, seed %d", request.seed)
    try:
        yield
    finally:
        _named.attempt = _Named.attempt


def log_end(report: AttemptReport) -> None:
    """One line for how the attempt ended."""
    level = logging.INFO if report.measurement else logging.WARNING
    value = f", {report.measurement.metric} {report.measurement.value:.4f}" if report.measurement else ""
    log.log(
        level, "%s after %.1f s%s%s", report.outcome, report.seconds, value, report.message and f": {report.message}"
    )
