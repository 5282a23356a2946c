"""The columns of the two tables, their version, and how a report becomes rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from workers.label import LabelRequest, Measurement, Outcome, Report

SCHEMA_VERSION = 1  # raised whenever an older program could no longer read or safely append

_NUMBERS: pa.DataType = pa.map_(pa.string(), pa.float64())
_INSTANT: pa.DataType = pa.timestamp("us", tz="UTC")

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
    ("metrics", _NUMBERS),
    ("flops", pa.float64()),
    ("params", pa.float64()),
    ("seconds", _NUMBERS),
    ("campaign", pa.string()),
    ("attempt", pa.int64()),
    ("split", pa.int64()),
    ("node", pa.string()),
    ("started", _INSTANT),
    ("finished", _INSTANT),
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
    ("started", _INSTANT),
    ("seconds", pa.float64()),
    ("final", pa.bool_()),
]

LABELS = pa.schema(_LABELS_COLUMNS)
ATTEMPTS = pa.schema(_ATTEMPTS_COLUMNS)


def describe(table: str, version: int = SCHEMA_VERSION) -> str:
    """The table's description, where its schema version is kept: Delta refuses configuration keys of our own."""
    return json.dumps({"aiop": table, "schema_version": version})


def described_version(description: str | None) -> int | None:
    """The schema version in a table's description; None where it is not one of ours."""
    try:
        version = json.loads(description or "")["schema_version"]
    except (ValueError, KeyError, TypeError):
        return None
    return version if isinstance(version, int) else None


def label_rows(report: Report) -> list[dict[str, Any]]:
    """The rows of `labels` for a report: one, and one a companion; none where the attempt made no label."""
    measured, request = report.measurement, report.job.request
    if report.outcome is not Outcome.OK or measured is None:
        return []
    along = [_label_row(report, other, measured.also[other.task]) for other in request.companions]
    return [_label_row(report, request, measured), *along]


def _label_row(report: Report, request: LabelRequest, measured: Measurement) -> dict[str, Any]:
    job = report.job
    started = datetime.fromtimestamp(report.started, UTC)
    return {
        "key": request.key,
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


def attempt_row(report: Report) -> dict[str, Any]:
    """The row of `attempts` for a report."""
    job, architecture = report.job, report.job.request.architecture
    return {
        "attempt_id": job.attempt_id,
        "key": job.request.key,
        "campaign": job.campaign,
        "attempt": job.attempt,
        "split": job.split,
        "space": architecture.space,
        "architecture": architecture.id,
        "task": job.request.task,
        "outcome": report.outcome.value,
        "message": report.message,
        "node": report.node,
        "started": datetime.fromtimestamp(report.started, UTC),
        "seconds": report.seconds,
        "final": report.final,
    }
