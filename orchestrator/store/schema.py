"""The columns of the three tables, their version, and how a report becomes rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from predictor.graph.structure import Graph
from workers.messages.label import AttemptReport, LabelRequest, Measurement, Outcome, attempt_id
from workers.messages.measured_recipe import FIDELITY as MEASURED
from workers.messages.published_recipe import FIDELITY as PUBLISHED

SCHEMA_VERSION = 1  # raised whenever an older program could no longer read or safely append

_FLOATS_BY_NAME: pa.DataType = pa.map_(pa.string(), pa.float64())
_TIMESTAMP: pa.DataType = pa.timestamp("us", tz="UTC")

_LABELS_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("key", pa.string()),
    ("architecture", pa.string()),
    ("space", pa.string()),
    ("genotype", pa.string()),
    ("task", pa.string()),
    ("data", pa.string()),
    ("fingerprint", pa.string()),
    ("fidelity", pa.string()),
    ("recipe_name", pa.string()),
    ("recipe_version", pa.int64()),
    ("recipe_hash", pa.string()),
    ("recipe", pa.string()),
    ("seed", pa.int64()),
    ("value", pa.float64()),
    ("metric", pa.string()),
    ("metrics", _FLOATS_BY_NAME),
    ("flops", pa.float64()),
    ("params", pa.float64()),
    ("seconds", _FLOATS_BY_NAME),
    ("campaign", pa.string()),
    ("attempt", pa.int64()),
    ("split", pa.int64()),
    ("node", pa.string()),
    ("started", _TIMESTAMP),
    ("finished", _TIMESTAMP),
]

_ATTEMPTS_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("attempt_id", pa.string()),
    ("key", pa.string()),
    ("campaign", pa.string()),
    ("attempt", pa.int64()),
    ("split", pa.int64()),
    ("space", pa.string()),
    ("architecture", pa.string()),
    ("task", pa.string()),
    ("outcome", pa.string()),
    ("message", pa.string()),
    ("node", pa.string()),
    ("started", _TIMESTAMP),
    ("seconds", pa.float64()),
    ("final", pa.bool_()),
]

# A graph belongs to all labels of the same architecture, task, fingerprint and recipe_hash. That of a published network
# has no fingerprint, because the network is the same for every data set, and that of a measured one for every device.
_GRAPHS_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("key", pa.string()),
    ("architecture", pa.string()),
    ("space", pa.string()),
    ("genotype", pa.string()),
    ("task", pa.string()),
    ("fingerprint", pa.string()),
    ("recipe_hash", pa.string()),
    ("tracer_version", pa.int64()),
    ("input_size", pa.list_(pa.int64())),
    ("nodes", pa.int64()),
    ("graph", pa.string()),
]

LABELS = pa.schema(_LABELS_COLUMNS)
GRAPHS = pa.schema(_GRAPHS_COLUMNS)
ATTEMPTS = pa.schema(_ATTEMPTS_COLUMNS)


def table_description(table: str, version: int = SCHEMA_VERSION) -> str:
    """Return the table's description. It holds the schema version, because Delta refuses unknown configuration keys."""
    return json.dumps({"aiop": table, "schema_version": version})


def description_version(description: str | None) -> int | None:
    """Return the schema version in a table's description; None if it is not a table of a store."""
    try:
        version = json.loads(description or "")["schema_version"]
    except (ValueError, KeyError, TypeError):
        return None
    return version if isinstance(version, int) else None


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows to append to the three tables."""

    labels: list[dict[str, Any]]
    graphs: list[dict[str, Any]]
    attempts: list[dict[str, Any]]


def report_rows(reports: Sequence[AttemptReport]) -> TableRows:
    """Return the rows of workers' reports."""
    keys = [report.job.request.key for report in reports]  # computed once, which is half of the time
    return TableRows(
        labels=[row for report, key in zip(reports, keys, strict=True) for row in _label_rows(report, key)],
        graphs=_graph_rows(reports),
        attempts=[_attempt_row(report, key) for report, key in zip(reports, keys, strict=True)],
    )


def table_rows(labels: pa.Table, graphs: pa.Table, attempts: pa.Table) -> TableRows:
    """Return the rows of another store's tables."""
    return TableRows(labels.to_pylist(), graphs.to_pylist(), attempts.to_pylist())


def _label_rows(report: AttemptReport, key: str) -> list[dict[str, Any]]:
    """The rows of `labels` for a report: one, and one for each companion task; none for a failed attempt."""
    measured, request = report.measurement, report.job.request
    if report.outcome is not Outcome.OK or measured is None:
        return []
    companions = [_label_row(report, other, other.key, measured.also[other.task]) for other in request.companions]
    return [_label_row(report, request, key, measured), *companions]


def _graph_rows(reports: Sequence[AttemptReport]) -> list[dict[str, Any]]:
    """The rows of `graphs`. Labels that differ in their seed repeat their graph, which is parsed once."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for report in reports:
        measured, request = report.measurement, report.job.request
        if report.outcome is not Outcome.OK or measured is None:
            continue
        for wanted, result in ((request, measured), *((c, measured.also[c.task]) for c in request.companions)):
            if not result.graph:
                continue
            shared = wanted.fidelity, wanted.fingerprint, wanted.recipe.hash
            kind = wanted.architecture, wanted.task, *shared, result.graph
            if kind not in rows:
                rows[kind] = _graph_row(wanted, result.graph)
    return list(rows.values())


def graph_fingerprint(fidelity: str, fingerprint: str) -> str:
    """Return the data fingerprint under which `graphs` stores a network: empty for published results and costs."""
    return "" if fidelity in (PUBLISHED, MEASURED) else fingerprint


def _graph_row(request: LabelRequest, text: str) -> dict[str, Any]:
    graph = Graph.from_json(text)
    architecture, recipe = request.architecture, request.recipe.hash
    fingerprint = graph_fingerprint(request.fidelity, request.fingerprint)
    parts = (architecture.id, request.task, fingerprint, recipe, str(graph.version))
    return {
        "key": hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32],
        "architecture": architecture.id,
        "space": architecture.space,
        "genotype": architecture.genotype,
        "task": request.task,
        "fingerprint": fingerprint,
        "recipe_hash": recipe,
        "tracer_version": graph.version,
        "input_size": list(graph.input_size),
        "nodes": len(graph.nodes),
        "graph": text,
    }


def _label_row(report: AttemptReport, request: LabelRequest, key: str, measured: Measurement) -> dict[str, Any]:
    job = report.job
    started = datetime.fromtimestamp(report.started, UTC)
    return {
        "key": key,
        "architecture": request.architecture.id,
        "space": request.architecture.space,
        "genotype": request.architecture.genotype,
        "task": request.task,
        "data": request.data,
        "fingerprint": request.fingerprint,
        "fidelity": request.fidelity,
        "recipe_name": request.recipe.name,
        "recipe_version": request.recipe.version,
        "recipe_hash": request.recipe.hash,
        "recipe": request.recipe.model_dump_json(),
        "seed": request.seed,
        "value": measured.value,
        "metric": measured.metric,
        "metrics": sorted(measured.metrics.items()),
        "flops": measured.flops,
        "params": measured.params,
        "seconds": sorted(measured.seconds.items()),
        "campaign": job.campaign,
        "attempt": job.attempt,
        "split": job.split,
        "node": report.node,
        "started": started,
        "finished": started + timedelta(seconds=report.seconds),
    }


def _attempt_row(report: AttemptReport, key: str) -> dict[str, Any]:
    """The row of `attempts` for a report. The message of a success is why the architecture was chosen, if recorded."""
    job, architecture = report.job, report.job.request.architecture
    return {
        "attempt_id": attempt_id(key, job.campaign, job.attempt),
        "key": key,
        "campaign": job.campaign,
        "attempt": job.attempt,
        "split": job.split,
        "space": architecture.space,
        "architecture": architecture.id,
        "task": job.request.task,
        "outcome": report.outcome.value,
        "message": report.message or job.request.reason,
        "node": report.node,
        "started": datetime.fromtimestamp(report.started, UTC),
        "seconds": report.seconds,
        "final": report.final,
    }
