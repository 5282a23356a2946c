"""The `orchestrator` program: its commands and its exit codes."""

from __future__ import annotations

import errno
import io
import os
import sys
import warnings

import typer

from orchestrator.cli import (
    calibrate,
    demo,
    evaluate,
    fetch_weights,
    generations,
    graph,
    importing,
    label,
    labels,
    latency,
    predict,
    prepare,
    refresh,
    report,
    search,
    space,
    status,
    suggest,
    train,
)
from orchestrator.errors import ConfigError
from predictor.errors import AIOPError, write_problem

# Each has a category and how its text begins. Torch and mmdet use the category of warnings for users.
_QUIET = (
    (DeprecationWarning, ""),
    (PendingDeprecationWarning, ""),
    (FutureWarning, ""),
    (UserWarning, "index_reduce"),
    (UserWarning, "Sparse CSR tensor"),
    (UserWarning, "DeprecationWarning"),
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Label vision architectures on many tasks, and predict the labels of architectures that were never trained.",
)
app.command("demo")(demo.demo)
app.command("label")(label.label)
app.command("calibrate")(calibrate.calibrate)
app.command("suggest")(suggest.suggest)
app.command("search")(search.search)
app.command("prepare")(prepare.prepare)
app.add_typer(space.app, name="space")
app.command("fetch-weights")(fetch_weights.fetch_weights)
app.command("import")(importing.import_)
app.command("labels")(labels.labels)
app.command("status")(status.status)
app.command("report")(report.report)
app.command("graph")(graph.graph)
app.command("train")(train.train)
app.command("refresh")(refresh.refresh)
app.add_typer(generations.app, name="generations")
app.command("predict")(predict.predict)
app.command("latency")(latency.latency)
app.command("evaluate")(evaluate.evaluate)


def main() -> None:
    """Run a command.

    Exit code 0: done; 1: labels are missing at the end, or a check failed; 2: a user error, reported in one line.
    """
    _prepare_terminal()
    try:
        _check_arguments()
        app()
    except AIOPError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = error.filename or "the output or a temporary folder"
        print(f"error: {where}: {write_problem(error, '')}", file=sys.stderr)
        sys.exit(2)


def _check_arguments() -> None:
    """Raise ConfigError for an argument that Python could not decode, which no library can use as a path."""
    for argument in sys.argv:
        if not argument.isprintable() and any("\ud800" <= character <= "\udfff" for character in argument):
            raise ConfigError(f"{argument!a}: is not in the encoding of this terminal: set LC_ALL=C.UTF-8")


def _prepare_terminal() -> None:
    """Escape characters that the terminal does not have, and hide warnings meant for developers of libraries.

    Processes that this one starts, such as Ray's workers, inherit the filter. Options of Python itself come first.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not sys.warnoptions:
        for category, text in _QUIET:
            warnings.filterwarnings("ignore", text, category)
        filters = ",".join(f"ignore:{text}:{category.__name__}" for category, text in _QUIET)
        os.environ.setdefault("PYTHONWARNINGS", filters)
