"""`orchestrator report`: one HTML page about a store of labels, that needs no network."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.options import Json, Predictors, Store, Watch
from orchestrator.cli.output import emit, say
from orchestrator.errors import ConfigError
from orchestrator.predictors.generations import champion_number, decided_numbers
from orchestrator.store.delta import DeltaLabelStore
from predictor.atomic_write import replace_file
from predictor.errors import write_problem


def report(
    store: Store = "labels",
    predictors: Predictors = Path("predictors"),
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    watch: Watch = False,
    every: Annotated[float, typer.Option(help="Seconds between two checks of --watch.", min=0.1)] = 15.0,
    json: Json = False,
) -> None:
    """Write a page about a store: labels, fronts, noise, audits, the predictor, time spent, failures, health checks.

    It is one file that loads nothing else. With --watch it is written again when labels or generations are added.
    """
    _check_out(out)
    opened = DeltaLabelStore(store)
    state = _state(opened, predictors)
    if state[0] < 0:
        say(f"--store {store}: does not exist yet")
    emit(write_report(store, predictors, out), json)
    with suppress(KeyboardInterrupt):
        while watch:
            time.sleep(every)
            if (now := _state(opened, predictors)) != state:
                state = now
                emit(write_report(store, predictors, out), json)


def _state(opened: DeltaLabelStore, predictors: Path) -> tuple[Any, ...]:
    """What a report depends on, without reading it: the store's version, the champion and the decisions."""
    return opened.version(), champion_number(predictors), decided_numbers(predictors)


def write_report(store: str, predictors: Path, out: Path) -> dict[str, Any]:
    """Write the page in place of an earlier one and say what it has. Raises ConfigError if it cannot be written."""
    # Torch takes seconds to load; --help and wrong options do without.
    from orchestrator.report.contents import read_contents
    from orchestrator.report.page import build_report

    began = time.monotonic()
    contents = read_contents(DeltaLabelStore(store), store, predictors)
    made = build_report(contents)
    content = made.html.encode("utf-8", "replace")
    try:
        replace_file(out, content)
    except OSError as error:
        raise ConfigError(f"--out {out}: {write_problem(error, 'choose a writable file')}") from None
    document: dict[str, Any] = {"report": str(out), "store": store, "version": contents.version}
    document |= {"labels": len(contents.rows), "bytes": len(content), "seconds": time.monotonic() - began}
    empty = {name: reason for name, reason in made.missing.items() if reason}
    return document | {"empty_sections": empty}


def _check_out(out: Path) -> None:
    if out.suffix not in (".html", ".htm"):
        raise ConfigError(f"--out {out}: name a file that ends in .html")
    if out.is_dir() or not out.absolute().parent.is_dir():
        what = "is a folder" if out.is_dir() else f"folder {out.absolute().parent} does not exist"
        raise ConfigError(f"--out {out}: {what}: name a file in an existing folder")
