"""`orchestrator refresh`: the predictor learns what is new, and takes the champion's place if that does it good."""

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
from orchestrator.ray_runtime.train_job import ResourceRequest
from predictor.errors import AIOPError

_SHOWN = 5  # suspects of a set


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

    def look() -> RefreshOutcome:
        with stages_display("learning") as show:
            return refresh_once(store, folder, on_ray(ResourceRequest(workers, gpus, cpus)), show, say)

    if watch:
        with suppress(KeyboardInterrupt):
            _watch(look, every, json)
        return
    outcome = look()
    _tell_suspects(outcome)
    emit(described(outcome), json)


def _watch(look: Callable[[], RefreshOutcome], every: float, json: bool) -> None:
    """What goes wrong is said once, and tried again: a store may be out of reach for a while."""
    said = ""
    while True:
        try:
            outcome = look()
            text = outcome.reason if isinstance(outcome, NothingToDo) else ""
        except AIOPError as error:
            outcome, text = None, f"error: {error}"
        if text and text != said:
            say(text)
        said = text
        if outcome is not None and not isinstance(outcome, NothingToDo):
            _tell_suspects(outcome)
            emit(described(outcome), json)
        time.sleep(every)


def described(outcome: RefreshOutcome) -> dict[str, Any]:
    """The document that tells of one refresh. decision: nothing, first, promote or keep."""
    if isinstance(outcome, NothingToDo):
        return {"decision": "nothing", "reason": outcome.reason, "generation": outcome.champion}
    if isinstance(outcome, RefreshRecord):
        pooled = (outcome.figures or {}).get("pooled")
        return {
            "decision": outcome.decision,
            "reason": outcome.reason,
            "generation": outcome.number if outcome.decision == "promote" else outcome.champion,
            "candidate": outcome.number,
            "version": outcome.version,
            "new_labels": outcome.labels,
            "suspects": {name: len(found) for name, found in outcome.suspects.items()},
            "hold_out": pooled_score(outcome.hold_out),
            "hold_out_of_champion": pooled["champion"] if pooled else None,
            "seconds": outcome.seconds,
        }
    about = outcome.about
    return {
        "decision": "first",
        "reason": "there was no champion",
        "generation": outcome.generation,
        "version": about["version"],
        "new_labels": about["labels"],
        "hold_out": pooled_score(about["hold_out"]),
    }


def _tell_suspects(outcome: RefreshOutcome) -> None:
    if isinstance(outcome, RefreshRecord):
        for name, found in outcome.suspects.items():
            some = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
            say(f"{name}: {len(found)} new labels are far from what generation {outcome.champion} expects: {some}")
