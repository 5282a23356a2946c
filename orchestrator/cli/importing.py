"""`orchestrator import`: add published results or the labels of another store."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.options import Json, Store
from orchestrator.cli.output import counting_display, emit, say
from orchestrator.errors import ConfigError
from orchestrator.published.result import RejectedLine
from orchestrator.published.results_file import read_results_file
from orchestrator.store.copy_labels import copy_labels
from orchestrator.store.delta import DeltaLabelStore
from workers.storage.spool import in_object_store

_SHOWN = 20  # lines with an error


def import_(
    source: Annotated[
        str,
        typer.Argument(
            help="CSV file with model, task, dataset, metric, value[, arguments, space, input_size, recipe, seed]; "
            "or a label store."
        ),
    ],
    store: Store = "labels",
    jobs: Annotated[int | None, typer.Option(help="Number of networks traced at once; 1: without Ray.", min=1)] = None,
    json: Json = False,
) -> None:
    """Add published results from a CSV file to the store, or the labels of another store.

    The networks of a file are built and traced. Lines with an error are reported with the reason, all others are
    added. Importing the same again adds nothing; a stored value never changes. Exit code 1: lines were refused, or
    differ from stored values.
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
    if outcome.differing:
        say(f"note: {outcome.differing} labels have other values in {store}, which stay: compare them by their key")
    ended = {"seconds": time.monotonic() - began, "store": store, "version": labels.version()}
    emit({"source": source, **asdict(outcome), **ended}, json)


def _import_file(file: Path, store: str, jobs: int | None, json: bool) -> None:
    began = time.monotonic()
    read = read_results_file(file)
    labels = DeltaLabelStore(store)
    labels.keys()  # an unreadable store is an error before anything is built
    # Torch and Ray take seconds to load; a wrong file or store does without.
    from orchestrator.published.importing import import_results
    from orchestrator.published.spelling import check_names
    from orchestrator.published.tracing import trace_chunks
    from workers.tasks import task_names

    checked = check_names(read.results, labels, task_names())
    with counting_display("networks traced") as show:
        outcome = import_results(checked.results, labels, partial(trace_chunks, jobs=jobs), show)
    refused = sorted([*read.rejected, *checked.rejected, *outcome.rejected], key=lambda line: line.line)
    notes = [*read.notes, *checked.notes, *outcome.notes]
    for note in notes:
        say(f"{file}: note: {note}")
    _report(refused, file, "skipped")
    _report(outcome.differing, file, "not changed")
    _report(outcome.repeated, file, "not added")
    emit(
        {
            "file": str(file),
            "rows": len(read.results) + len(read.rejected),
            "added": outcome.added,
            "known": outcome.known,
            "networks": outcome.networks,
            "refused": _lines(refused, json),
            "differing": _lines(outcome.differing, json),
            "repeated": _lines(outcome.repeated, json),
            "notes": notes if json else len(notes),
            "seconds": time.monotonic() - began,
            "store": store,
            "version": labels.version(),
        },
        json,
    )
    raise typer.Exit(1 if refused or outcome.differing else 0)


def _lines(lines: list[RejectedLine], json: bool) -> list[dict[str, Any]] | int:
    return [asdict(line) for line in lines] if json else len(lines)


def _report(lines: list[RejectedLine], file: Path, done: str) -> None:
    for line in lines[:_SHOWN]:
        say(f"{file}, line {line.line}: {line.model}: {done}: {line.reason}")
    if len(lines) > _SHOWN:
        reasons = Counter(line.reason.split("(")[0].split("'")[0] for line in lines)
        say(f"... and {len(lines) - _SHOWN} more (see --json). Most frequent reasons: {dict(reasons.most_common(5))}")
