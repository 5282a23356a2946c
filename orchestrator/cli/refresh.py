"""`orchestrator refresh`: train the predictor on new labels and replace the champion if a hold-out allows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.options import Gpus, Json, OldOut, Predictors, Store, Watch, Workers, renamed_option
from orchestrator.cli.output import emit, say, stages_display
from orchestrator.predictors.decisions import RefreshRecord
from orchestrator.predictors.generations import pooled_score
from orchestrator.predictors.refresh.changes import NothingToDo
from orchestrator.predictors.refresh.on_ray import on_ray
from orchestrator.predictors.refresh.run import RefreshOutcome
from orchestrator.predictors.refresh.run import refresh as refresh_once
from orchestrator.predictors.verdict import Verdict
from orchestrator.ray_runtime.train_job import ResourceRequest
from predictor.errors import AIOPError

_SHOWN = 5  # outliers named per label set


def refresh(
    store: Store = "labels",
    predictors: Predictors = Path("predictors"),
    watch: Watch = False,
    every: Annotated[float, typer.Option(help="Seconds between two checks of --watch.", min=0.1)] = 15.0,
    workers: Workers = 1,
    gpus: Gpus = 0.0,
    cpus: Annotated[float, typer.Option(help="CPU cores per worker; 0: all cores of the cluster.", min=0)] = 0.0,
    old_out: OldOut = None,
    json: Json = False,
) -> None:
    """Train the predictor on labels it has not seen; the new generation is used if it is no worse on a hold-out."""
    folder = renamed_option("--out", old_out, "--predictors", predictors)

    def refresh_now() -> RefreshOutcome:
        with stages_display("training") as show:
            return refresh_once(store, folder, on_ray(ResourceRequest(workers, gpus, cpus)), show, say)

    if watch:
        with suppress(KeyboardInterrupt):
            _watch(refresh_now, every, json)
        return
    outcome = refresh_now()
    _report_outliers(outcome)
    emit(describe_outcome(outcome), json)


def _watch(refresh_now: Callable[[], RefreshOutcome], every: float, json: bool) -> None:
    """Refresh again and again. An error is printed once and retried, because a store may be unreachable for a while."""
    printed = ""
    while True:
        try:
            outcome = refresh_now()
            text = outcome.reason if isinstance(outcome, NothingToDo) else ""
        except AIOPError as error:
            outcome, text = None, f"error: {error}"
        if text and text != printed:
            say(text)
        printed = text
        if outcome is not None and not isinstance(outcome, NothingToDo):
            _report_outliers(outcome)
            emit(describe_outcome(outcome), json)
        time.sleep(every)


def describe_outcome(outcome: RefreshOutcome) -> dict[str, Any]:
    """The document that describes one refresh. decision: nothing, first, promote or keep."""
    if isinstance(outcome, NothingToDo):
        return {"decision": "nothing", "reason": outcome.reason, "generation": outcome.champion}
    if isinstance(outcome, RefreshRecord):
        pooled = outcome.figures.pooled if outcome.figures else None
        return {
            "decision": outcome.verdict.value,
            "reason": outcome.reason,
            "generation": outcome.number if outcome.verdict is Verdict.PROMOTE else outcome.champion,
            "candidate": outcome.number,
            "version": outcome.version,
            "new_labels": outcome.new_labels,
            "suspects": {name: len(found) for name, found in outcome.outliers.items()},
            "hold_out": pooled_score(outcome.hold_out),
            "hold_out_of_champion": pooled.champion if pooled else None,
            "seconds": outcome.seconds,
        }
    metadata = outcome.metadata
    return {
        "decision": "first",
        "reason": "there was no champion",
        "generation": outcome.generation,
        "version": metadata.version,
        "new_labels": metadata.labels,
        "hold_out": pooled_score(metadata.hold_out),
    }


def _report_outliers(outcome: RefreshOutcome) -> None:
    if isinstance(outcome, RefreshRecord):
        for name, found in outcome.outliers.items():
            names = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
            say(f"{name}: {len(found)} new labels are outliers to generation {outcome.champion}: {names}")
