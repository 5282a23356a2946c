"""Measure the latency of each network that a worker labels."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from predictor.errors import AIOPError
from workers import pulse
from workers.messages.label import AttemptReport, Evaluator, LabelJob, Measurement, Outcome
from workers.node_folder import node_folder

if TYPE_CHECKING:
    from workers.execution.attempt import ReportSink
    from workers.latency.settings import LatencySettings

log = logging.getLogger(__name__)
_WAIT_S = 5.0  # between two signs of life while another worker measures


class LatencyFollowUp:
    """An evaluator that makes labels with another one, and a label of the task latency after each.

    The latency is in the spool before the label is returned: after a kill both are made again, and the store skips a
    key that it has. A latency that cannot be measured is a separate failed attempt and loses no label.
    """

    def __init__(self, evaluator: Evaluator, settings: LatencySettings, spool: ReportSink) -> None:
        self._evaluator, self._settings, self._spool = evaluator, settings, spool

    def __call__(self, job: LabelJob) -> Measurement:
        """Make the label of `job` and measure its network."""
        measurement = self._evaluator(job)
        with _alone_on_this_machine():
            report = measure_job(job, self._settings)
        if report is not None:
            self._spool.put(report)
        return measurement


def measure_job(job: LabelJob, settings: LatencySettings) -> AttemptReport | None:
    """Return the report of the latency of a label's network; None if it could not even be named."""
    # Torch takes seconds to load, and a scripted evaluator does not need it.
    from predictor.graph import trace
    from workers.data import open_data
    from workers.latency.labels import headed_request, latency_report, numbers_of
    from workers.latency.measurement import device_name, measure_latency
    from workers.tasks import get_task
    from workers.training.full import build_network

    started, clock, asked = time.time(), time.perf_counter(), job.request
    size = (3, *asked.recipe.input_size)
    try:
        vocabulary = open_data(asked.data, asked.task).vocabulary(asked.task)
        data = settings.data_name(device_name(settings))
        request = headed_request(asked.architecture, asked.recipe, numbers_of(vocabulary), size, data)
    except AIOPError as error:
        log.warning("latency of %s: not measured: %s", asked.architecture.id, error)
        return None
    try:
        network = build_network(asked.architecture, asked.recipe, get_task(asked.recipe.task), vocabulary)
        graph = trace(network, size)
        latency = measure_latency(network, size, settings)
    except AIOPError as error:
        failed = LabelJob(request, job.campaign, job.attempt)
        seconds, message = time.perf_counter() - clock, f"{type(error).__name__}: {error}"
        return AttemptReport(failed, Outcome.ERROR, message, platform.node(), started, seconds, final=True)
    return latency_report(request, job.campaign, latency, graph, time.perf_counter() - clock)


@contextmanager
def _alone_on_this_machine() -> Iterator[None]:
    """Wait until no other worker of this machine measures: two measurements would disturb each other."""
    folder = node_folder()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "latency.lock")
    while True:
        try:
            lock.acquire(timeout=_WAIT_S)
            break
        except Timeout:
            pulse.beat()
    try:
        yield
    finally:
        lock.release()
