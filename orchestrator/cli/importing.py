"""`orchestrator import`: published results become labels."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import counting_display, emit, say
from orchestrator.results_file import Refused, read_results
from orchestrator.store.delta import DeltaLabelStore

_SHOWN = 20  # refused lines


def import_(
    file: Annotated[Path, typer.Argument(help="CSV with model, task, dataset, metric, value[, input_size, recipe]")],
    store: Annotated[str, typer.Option(help="folder or object-store URI")] = "labels",
    jobs: Annotated[int | None, typer.Option(help="networks traced at once; 1: without Ray", min=1)] = None,
    json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Build and trace every network of a file of results, and keep results and graphs in the store.

    Lines that cannot be taken are told with the reason, and the others go in. The same file again adds nothing.
    """
    began = time.monotonic()
    results, bad = read_results(file)
    labels = DeltaLabelStore(store)
    labels.keys()  # a store that cannot be read is refused before anything is built
    # Torch and Ray take seconds to load; a wrong file or store does without.
    from orchestrator.importing import import_results
    from orchestrator.tracing import trace_chunks

    with counting_display("networks traced") as show:
        outcome = import_results(results, labels, partial(trace_chunks, jobs=jobs), show)
    refused = sorted([*bad, *outcome.refused], key=lambda line: line.line)
    _tell(refused, file)
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


def _tell(refused: list[Refused], file: Path) -> None:
    for line in refused[:_SHOWN]:
        say(f"{file}, line {line.line}: {line.model}: not taken: {line.reason}")
    if len(refused) > _SHOWN:
        reasons = Counter(line.reason.split("(")[0].split("'")[0] for line in refused)
        say(f"... and {len(refused) - _SHOWN} more, see --json. In all: {dict(reasons.most_common(5))}")
