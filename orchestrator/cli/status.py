"""`orchestrator status`: labels, attempts, failures, the predictor in use and the cluster."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.campaign.missing import group_failures
from orchestrator.campaign.reliability import label_statistics
from orchestrator.cli.options import Json, Predictors, Store, Watch
from orchestrator.cli.output import clear_screen, emit, emit_rows, say
from orchestrator.cli.tables import Column, flattened
from orchestrator.predictors.generations import champion_number, pinned_number
from orchestrator.predictors.refresh.history import hold_out_score, last_decision
from orchestrator.ray_runtime.view import cluster_summary
from orchestrator.store.delta import DeltaLabelStore


def status(
    store: Store = "labels",
    predictors: Predictors = Path("predictors"),
    watch: Watch = False,
    every: Annotated[float, typer.Option(help="Seconds between two reports of --watch.", min=0.1)] = 5.0,
    json: Json = False,
) -> None:
    """Show labels by task and space with their reliability, attempts, failures, the predictor and the Ray cluster."""
    opened = DeltaLabelStore(store)
    if opened.version() < 0:
        say(f"--store {store}: does not exist yet")
    _print(describe(opened, store, predictors), json)
    with suppress(KeyboardInterrupt):
        while watch:
            time.sleep(every)
            document = describe(opened, store, predictors)
            clear_screen()
            _print(document, json)


_GROUPS = (
    Column("task"),
    Column("space"),
    Column("fidelity"),
    Column("labels"),
    Column("lowest", rank=1),
    Column("highest", rank=1),
    Column("reliability spearman", "rank correlation of seeds", rank=2),
    Column("reliability variance_ratio", "variance ratio", rank=3),
    Column("recipe", rank=4),
    Column("data", rank=5),
)


def _print(document: dict[str, Any], json: bool) -> None:
    """The JSON document, or a table for each of its parts."""
    if json:
        emit(document, json)
        return
    parts = ("groups", "attempts", "failures", "recent_failures", "predictor", "cluster")
    emit({name: value for name, value in document.items() if name not in parts}, json)
    groups = [_group_names(group) | flattened(numbers) for group, numbers in document["groups"].items()]
    emit_rows(groups, json, _GROUPS, "Labels")
    attempts = [{"outcome": outcome, "attempts": count} for outcome, count in document["attempts"].items()]
    emit_rows(attempts, json, title="Attempts")
    if document["failures"]:
        emit_rows(document["failures"], json, title="Missing labels")
    if document["recent_failures"]:
        emit_rows([{"message": message} for message in document["recent_failures"]], json, title="Recent failures")
    emit(document["predictor"] or {"predictor": "none yet: make one with `orchestrator train`"}, json, "Predictor")
    emit(document["cluster"] or {"cluster": "no Ray cluster is running"}, json, "Cluster")


def _group_names(group: str) -> dict[str, str]:
    """The columns of TASK/SPACE/FIDELITY/DATA/RECIPE; names of published data may have slashes."""
    task, space, fidelity, *data, recipe = group.split("/")
    return {"task": task, "space": space, "fidelity": fidelity, "data": "/".join(data), "recipe": recipe}


def describe(opened: DeltaLabelStore, where: str, predictors: Path) -> dict[str, Any]:
    """The document that `status --json` prints."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    columns = ["task", "space", "fidelity", "fingerprint", "recipe_hash", "architecture", "seed", "value", "metric"]
    rows, parts = opened.labels().select(columns).to_pylist(), ("task", "space", "fidelity", "fingerprint")
    metrics: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        row["group"] = "/".join(row[part] for part in parts)
        metrics[f"{row['group']}/{row['recipe_hash']}"].add(row["metric"])
    for row in rows:  # labels of several metrics cannot be compared
        metric = f"@{row['metric']}" if len(metrics[f"{row['group']}/{row['recipe_hash']}"]) > 1 else ""
        groups[f"{row['group']}{metric}/{row['recipe_hash']}"].append(row)
    wanted = ["key", "attempt", "outcome", "message", "started", "seconds", "final"]
    attempts = opened.attempts().select(wanted).to_pylist()
    attempts.sort(key=lambda a: a["started"])
    failures = [a["message"] for a in attempts if a["outcome"] != "ok"]
    document: dict[str, Any] = {"store": where, "version": opened.version(), "labels": sum(map(len, groups.values()))}
    document["groups"] = {name: label_statistics(rows) for name, rows in sorted(groups.items())}
    document["attempts"] = dict(Counter(a["outcome"] for a in attempts))
    since = datetime.now(UTC) - timedelta(hours=1)
    ended = [a for a in attempts if a["started"] + timedelta(seconds=a["seconds"]) >= since]
    document["labels_in_the_last_hour"] = sum(a["outcome"] == "ok" for a in ended)
    labelled = opened.keys()
    document["failures"] = group_failures(attempts, {a["key"]: 1 for a in attempts if a["key"] not in labelled})
    document["recent_failures"] = failures[-5:]
    document["predictor"] = _predictor(predictors)
    document["cluster"] = cluster_summary()
    return document


def _predictor(folder: Path) -> dict[str, Any]:
    """The generation in use and the last decision on a candidate; empty without a generation."""
    number = champion_number(folder)
    if number is None:
        return {}
    fields: dict[str, Any] = {"generation": number, "hold_out": hold_out_score(folder, number)}
    if pinned_number(folder) is not None:
        fields["pinned"] = True
    if last := last_decision(folder):
        fields["last_decision"] = f"{last.verdict} {last.number} ({last.reason})"
    return fields
