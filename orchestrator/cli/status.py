"""`orchestrator status`: labels, attempts, failures, the predictor in use and the cluster."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import typer

from orchestrator.campaign.missing import group_failures
from orchestrator.campaign.stored_groups import COLUMNS, TEXTS, group_statistics
from orchestrator.cli.options import Json, Predictors, Store, Watch
from orchestrator.cli.output import clear_screen, emit, emit_rows, say
from orchestrator.cli.tables import Column, flattened
from orchestrator.predictors.generations import champion_number, pinned_number
from orchestrator.predictors.refresh.history import hold_out_score, last_decision
from orchestrator.ray_runtime.view import cluster_summary
from orchestrator.store.delta import DeltaLabelStore
from orchestrator.store.keyed_table import distinct_strings
from workers.messages.label import Outcome


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
    labels = opened.labels(columns=COLUMNS, encoded=TEXTS)
    document: dict[str, Any] = {"store": where, "version": opened.version(), "labels": labels.num_rows}
    document["groups"] = group_statistics(labels)
    document |= _attempts(opened)
    document["predictor"] = _predictor(predictors)
    document["cluster"] = cluster_summary()
    return document


def _attempts(opened: DeltaLabelStore) -> dict[str, Any]:
    """The fields on attempts. Only failed ones of missing labels become Python objects, since there are a million."""
    attempts = opened.attempts(columns=["outcome", "started", "seconds"], encoded=["outcome"]).unify_dictionaries()
    outcomes = attempts.group_by("outcome").aggregate([("started", "min"), ("outcome", "count")]).sort_by("started_min")
    counts = zip(outcomes["outcome"].to_pylist(), outcomes["outcome_count"].to_pylist(), strict=True)
    microseconds = pc.multiply(attempts["seconds"], 1e6).cast(pa.int64(), safe=False)
    ended = pc.add(attempts["started"], microseconds.cast(pa.duration("us")))
    recent = attempts.filter(pc.greater_equal(ended, pa.scalar(datetime.now(UTC) - timedelta(hours=1), ended.type)))
    failed = opened.failed_attempts(["key", "attempt", "outcome", "message", "started", "final"])
    missing = opened.unlabelled(distinct_strings(failed["key"].unique()))
    of_missing = failed.filter(pc.field("key").isin(pa.array(sorted(missing), pa.string())))
    return {
        "attempts": dict(counts),
        "labels_in_the_last_hour": recent.filter(pc.field("outcome") == Outcome.OK.value).num_rows,
        "failures": group_failures(of_missing.to_pylist(), dict.fromkeys(missing, 1)),
        "recent_failures": failed.sort_by("started")["message"][-5:].to_pylist(),
    }


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
