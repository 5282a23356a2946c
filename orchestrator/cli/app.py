"""The `orchestrator` program: its commands and its exit codes."""

from __future__ import annotations

import sys

import typer

from orchestrator.cli import (
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
    space,
    status,
    suggest,
    train,
)
from predictor.errors import AIOPError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Label vision architectures on many tasks, and predict the labels of architectures that were never trained.",
)
app.command("label")(label.label)
app.command("suggest")(suggest.suggest)
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
    try:
        app()
    except AIOPError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
