"""One attempt at one label: runs the evaluator, names the outcome, and keeps the report before it is returned."""

from __future__ import annotations

import gc
import math
import platform
import sys
import time
from typing import Protocol

from workers.errors import BadDataFailure, DataError, DivergedFailure, OutOfMemoryFailure
from workers.execution.threads import return_freed_memory
from workers.messages.label import AttemptReport, Evaluator, LabelJob, Measurement, Outcome

_FINAL = frozenset({Outcome.BAD_DATA, Outcome.DIVERGED, Outcome.ERROR})
_MEMORY_WORDS = ("not enough memory", "out of memory", "can't allocate memory", "cannot allocate memory")
_MESSAGE_LENGTH = 2000


class ReportSink(Protocol):
    """Where reports are kept: a FolderSpool, or a list in disguise."""

    def put(self, report: AttemptReport, /) -> object:
        """Keep a report; it is safe once this returns."""
        ...


def outcome_of(error: Exception) -> Outcome:
    """The outcome that an evaluator's exception stands for."""
    if isinstance(error, OutOfMemoryFailure | MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return Outcome.OUT_OF_MEMORY  # by name, since torch may not be loaded: torch.cuda.OutOfMemoryError
    if isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _MEMORY_WORDS):
        return Outcome.OUT_OF_MEMORY
    if isinstance(error, BadDataFailure | DataError):
        return Outcome.BAD_DATA
    if isinstance(error, DivergedFailure):
        return Outcome.DIVERGED
    return Outcome.ERROR


def run_attempt(evaluator: Evaluator, job: LabelJob, spool: ReportSink) -> AttemptReport:
    """Run one attempt. The report is in the spool before this returns, so a lost answer loses no label.

    Out of memory is not final here: the failure policy may want the batch split.
    """
    started, clock = time.time(), time.perf_counter()
    measurement: Measurement | None = None
    try:
        measurement = evaluator(job)
        outcome, message = Outcome.OK, ""
        if not math.isfinite(measurement.value):
            outcome, message = Outcome.DIVERGED, f"{measurement.metric} is {measurement.value}"
            measurement = None
    except Exception as error:
        outcome = outcome_of(error)
        message = f"{type(error).__name__}: {error}"[:_MESSAGE_LENGTH]
    if outcome is Outcome.OUT_OF_MEMORY:
        _free_memory()
    return_freed_memory()
    seconds = time.perf_counter() - clock
    report = AttemptReport(job, outcome, message, platform.node(), started, seconds, measurement, outcome in _FINAL)
    spool.put(report)
    return report


def _free_memory() -> None:
    """Give back what the failed attempt held; its frames are gone with its exception by now."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
