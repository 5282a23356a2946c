"""`orchestrator status`: what the store holds, and how attempts ended."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.campaign.reliability import spread
from orchestrator.cli.output import clear_screen, emit, say
from orchestrator.predictors.generations import champion, pinned
from orchestrator.predictors.refresh.history import hold_out_of, last_decision
from orchestrator.ray_runtime.view import cluster_now
from orchestrator.store.delta import DeltaLabelStore


def status(
    store: Annotated[str, typer.Option(help="folder or object-store URI")] = "labels",
    predictors: Annotated[Path, typer.Option(help="folder of the predictor's generations")] = Path("predictors"),
    watch: Annotated[bool, typer.Option("--watch", help="again and again, until Ctrl-C")] = False,
    every: Annotated[float, typer.Option(help="seconds between two looks of --watch", min=0.1)] = 5.0,
    json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Labels by task and space with their reliability, attempts, recent failures, the predictor and the Ray cluster."""
    opened = DeltaLabelStore(store)
    if opened.version() < 0:
        say(f"--store {store}: there is none yet")
    emit(describe(opened, store, predictors), json)
    with suppress(KeyboardInterrupt):
        while watch:
            time.sleep(every)
            document = describe(opened, store, predictors)
            clear_screen()
            emit(document, json)


def describe(opened: DeltaLabelStore, where: str, predictors: Path) -> dict[str, Any]:
    """The document `status` prints."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    columns = ["task", "space", "fidelity", "fingerprint", "recipe_hash", "architecture", "seed", "value"]
    for row in opened.labels().select(columns).to_pylist():
        name = f"{row['task']}/{row['space']}/{row['fidelity']}/{row['fingerprint']}/{row['recipe_hash']}"
        groups[name].append(row)
    attempts = opened.attempts().select(["outcome", "message", "started", "seconds"]).to_pylist()
    attempts.sort(key=lambda a: a["started"])
    failures = [a["message"] for a in attempts if a["outcome"] != "ok"]
    document: dict[str, Any] = {"store": where, "version": opened.version(), "labels": sum(map(len, groups.values()))}
    document["groups"] = {name: spread(rows) for name, rows in sorted(groups.items())}
    document["attempts"] = dict(Counter(a["outcome"] for a in attempts))
    since = datetime.now(UTC) - timedelta(hours=1)
    ended = [a for a in attempts if a["started"] + timedelta(seconds=a["seconds"]) >= since]
    document["labels_in_the_last_hour"] = sum(a["outcome"] == "ok" for a in ended)
    document["recent_failures"] = failures[-5:]
    document["predictor"] = _predictor(predictors)
    document["cluster"] = cluster_now()
    return document


def _predictor(folder: Path) -> dict[str, Any]:
    """The generation in use, and what was last decided of a candidate; empty where there is none."""
    number = champion(folder)
    if number is None:
        return {}
    told: dict[str, Any] = {"generation": number, "hold_out": hold_out_of(folder, number)}
    if pinned(folder) is not None:
        told["pinned"] = True
    if last := last_decision(folder):
        told["last_decision"] = f"{last.decision} {last.number} ({last.reason})"
    return told
