"""`orchestrator evaluate`: predictors and baselines on the same held-out labels, with bootstrap intervals."""

from __future__ import annotations

import json as json_lib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from orchestrator.cli.options import Json, Store
from orchestrator.cli.output import counting_display, emit_rows, say
from orchestrator.cli.tables import Column
from orchestrator.errors import ConfigError
from orchestrator.store.delta import DeltaLabelStore

if TYPE_CHECKING:  # it loads torch
    from predictor.evaluation import Answer

_COLUMNS = (
    Column("target"),
    Column("split", rank=1),
    Column("labels"),
    Column("model"),
    Column("spearman"),
    Column("mae", rank=1),
    Column("regret", rank=3),
    Column("coverage", rank=2),
    Column("asked", "networks", rank=4),
)


def evaluate(
    store: Store = "labels",
    target: Annotated[
        list[str] | None,
        typer.Option(help="Only label sets whose name (SPACE/TASK/DATA) contains this; may be repeated."),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="What is held out: architecture, task or space; may be repeated.")
    ] = None,
    labels: Annotated[
        str, typer.Option(help="Numbers of known labels of the set; others: all but one.")
    ] = "0,5,20,100",
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may be repeated.")] = None,
    known: Annotated[
        list[str] | None, typer.Option(help="Learn only from other sets whose name contains this; may be repeated.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of random choices of the known labels.", min=1)] = 5,
    out: Annotated[
        Path | None, typer.Option(help="Write the report to FILE.md, with pictures next to it, or to FILE.json.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Number of processes; one per core if unset.", min=1)] = None,
    json: Json = False,
) -> None:
    """Compare models on labels they have not seen, given few labels of a set and all labels of other sets."""
    counts = _counts(labels)
    _check_out(out)
    label_store = DeltaLabelStore(store)
    label_store.keys()  # an unreadable store is reported before anything heavy is loaded
    from orchestrator.predictors.evaluation import evaluate_models
    from orchestrator.predictors.label_sets import read_label_sets
    from predictor.evaluation import summarise

    with counting_display("graphs read") as show:
        sets, left_out = read_label_sets(label_store, show)
    if left_out:
        say(f"{left_out} labels have no graph and are skipped")
    with counting_display("questions answered") as show:
        answers = evaluate_models(sets, target or [], split or [], counts, model or [], seeds, show, jobs, known or [])
    rows = summarise(answers)
    if out is not None:
        _write(out, answers, rows)
    emit_rows(rows, json, _COLUMNS)


def _write(out: Path, answers: Sequence[Answer], rows: list[dict[str, Any]]) -> None:
    from predictor.evaluation import can_plot, draw_plots, to_markdown

    if out.suffix == ".json":
        out.write_text(json_lib.dumps(rows, indent=1) + "\n")
        say(f"report written to {out}")
        return
    drawn = draw_plots(answers, out) if can_plot() else []
    pictures = "".join(f"\n![{path.stem}]({path.name})\n" for path in drawn)
    out.write_text(to_markdown(rows) + pictures)
    say(f"report written to {out}, with {len(drawn)} pictures next to it")
    if not can_plot():
        say("no pictures, because matplotlib is missing: pip install 'aiop-orchestrator[plots]'")


def _counts(text: str) -> list[int | Literal["others"]]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part == "others" or part.isdecimal() for part in parts):
        raise ConfigError(f"--labels {text}: write numbers with commas between them, for example 0,20,100, or others")
    return ["others" if part == "others" else int(part) for part in parts]


def _check_out(out: Path | None) -> None:
    if out is None:
        return
    if out.suffix not in (".md", ".json"):
        raise ConfigError(f"--out {out}: name a file that ends in .md or .json")
    try:
        out.touch()
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror or error}: choose a writable file") from None
