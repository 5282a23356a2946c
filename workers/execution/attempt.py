"""One attempt at one label: run the evaluator, classify the outcome, store the report in the spool."""

from __future__ import annotations

import gc
import math
import platform
import sys
import time
from typing import TYPE_CHECKING, Protocol

from workers import pulse
from workers.errors import BadDataFailure, DataError, DivergedFailure, LoaderLostFailure, OutOfMemoryFailure
from workers.execution.threads import return_freed_memory
from workers.messages.label import AttemptReport, Evaluator, LabelJob, Measurement, Outcome
from workers.storage.patience import Patience

if TYPE_CHECKING:  # a scripted evaluator needs no torch
    from workers.storage.checkpoints import Checkpoints

_FINAL_OUTCOMES = frozenset({Outcome.BAD_DATA, Outcome.DIVERGED, Outcome.ERROR})
_OUT_OF_MEMORY_TEXTS = ("not enough memory", "out of memory", "can't allocate memory", "cannot allocate memory")
_MAX_MESSAGE_LENGTH = 2000
_RETRY_S = 1.0


class ReportSink(Protocol):
    """Stores reports: a spool, or a stand-in for tests."""

    def put(self, report: AttemptReport, /) -> object:
        """Store a report; it is safe once this returns."""
        ...


def outcome_of(error: Exception) -> Outcome:
    """Return the outcome for an exception of an evaluator."""
    if isinstance(error, OutOfMemoryFailure | MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return Outcome.OUT_OF_MEMORY  # torch.cuda.OutOfMemoryError is compared by name: torch may not be imported
    if isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _OUT_OF_MEMORY_TEXTS):
        return Outcome.OUT_OF_MEMORY
    if isinstance(error, BadDataFailure | DataError):
        return Outcome.BAD_DATA
    if isinstance(error, DivergedFailure):
        return Outcome.DIVERGED
    if isinstance(error, LoaderLostFailure):
        return Outcome.CRASH
    return Outcome.ERROR


def run_attempt(
    evaluator: Evaluator, job: LabelJob, spool: ReportSink, checkpoints: Checkpoints | None = None
) -> AttemptReport:
    """Run one attempt and return its report.

    A label, or a failure that no other attempt can change, is in the spool by then: a lost answer does not lose it. The
    driver stores other failures, because only its failure policy knows whether they are final. Out of memory, for
    example, may be tried again with a split batch.

    checkpoints: where the evaluator keeps those of unfinished labels; that of a label that is settled is removed.
    """
    started, clock = time.time(), time.perf_counter()
    pulse.begin(job.attempt_id)
    measurement: Measurement | None = None
    try:
        measurement = evaluator(job)
        outcome, message = Outcome.OK, ""
        if not math.isfinite(measurement.value):
            outcome, message = Outcome.DIVERGED, f"{measurement.metric} is {measurement.value}"
            measurement = None
    except Exception as error:
        outcome = outcome_of(error)
        message = f"{type(error).__name__}: {error}"[:_MAX_MESSAGE_LENGTH]
    if outcome is Outcome.OUT_OF_MEMORY:
        _free_memory()
    return_freed_memory()
    seconds = time.perf_counter() - clock
    report = AttemptReport(
        job, outcome, message, platform.node(), started, seconds, measurement, outcome in _FINAL_OUTCOMES
    )
    if report.outcome is Outcome.OK or report.final:
        _put(spool, report)
        if checkpoints is not None:
            checkpoints.remove(job.request.key)
    return report


def _put(spool: ReportSink, report: AttemptReport) -> None:
    """Store a report. What was measured may have taken hours, so that a place that cannot be written is tried again."""
    patience = Patience("spool")
    while True:
        try:
            spool.put(report)
            return
        except OSError as error:
            patience.failed(error, time.monotonic())
        pulse.beat()
        time.sleep(_RETRY_S)


def _free_memory() -> None:
    """Free the memory of a failed attempt. Its frames no longer exist, because its exception does not."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
