"""`orchestrator import`: add published results or the labels of another store."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import Json, Store
from orchestrator.cli.output import counting_display, emit, say
from orchestrator.errors import ConfigError
from orchestrator.published.results_file import RejectedLine, read_results
from orchestrator.store.copy_labels import copy_labels
from orchestrator.store.delta import DeltaLabelStore
from workers.storage.spool import in_object_store

_SHOWN = 20  # lines with an error


def import_(
    source: Annotated[
        str,
        typer.Argument(
            help="CSV file with model, task, dataset, metric, value[, arguments, space, input_size, recipe]; "
            "or a label store."
        ),
    ],
    store: Store = "labels",
    jobs: Annotated[int | None, typer.Option(help="Number of networks traced at once; 1: without Ray.", min=1)] = None,
    json: Json = False,
) -> None:
    """Add published results from a CSV file to the store, or the labels of another store.

    The networks of a file are built and traced. Lines with an error are reported with the reason, all others are
    added. Importing the same again adds nothing.
    """
    if in_object_store(source) or Path(source.removeprefix("file://")).is_dir():
        _import_store(source, store, json)
    else:
        _import_file(Path(source), store, jobs, json)


def _import_store(source: str, store: str, json: bool) -> None:
    began, other, labels = time.monotonic(), DeltaLabelStore(source), DeltaLabelStore(store)
    if other.version() < 0:
        raise ConfigError(f"{source}: holds no labels: name a label store or a CSV file")
    with counting_display("labels copied") as show:
        outcome = copy_labels(other, labels, show)
    ended = {"seconds": time.monotonic() - began, "store": store, "version": labels.version()}
    emit({"source": source, **asdict(outcome), **ended}, json)


def _import_file(file: Path, store: str, jobs: int | None, json: bool) -> None:
    began = time.monotonic()
    results, bad = read_results(file)
    labels = DeltaLabelStore(store)
    labels.keys()  # an unreadable store is an error before anything is built
    # Torch and Ray take seconds to load; a wrong file or store does without.
    from orchestrator.published.importing import import_results
    from orchestrator.published.tracing import trace_chunks

    with counting_display("networks traced") as show:
        outcome = import_results(results, labels, partial(trace_chunks, jobs=jobs), show)
    refused = sorted([*bad, *outcome.rejected], key=lambda line: line.line)
    _report_refused(refused, file)
    emit(
        {
            "file": str(file),
            "rows": len(results) + len(bad),
            "added": outcome.added,
            "known": outcome.known,
            "networks": outcome.networks,
            "refused": [asdict(line) for line in refused] if json else len(refused),
            "seconds": time.monotonic() - began,
            "store": store,
            "version": labels.version(),
        },
        json,
    )
    raise typer.Exit(1 if refused else 0)


def _report_refused(refused: list[RejectedLine], file: Path) -> None:
    for line in refused[:_SHOWN]:
        say(f"{file}, line {line.line}: {line.model}: skipped: {line.reason}")
    if len(refused) > _SHOWN:
        reasons = Counter(line.reason.split("(")[0].split("'")[0] for line in refused)
        say(f"... and {len(refused) - _SHOWN} more (see --json). Most frequent reasons: {dict(reasons.most_common(5))}")
