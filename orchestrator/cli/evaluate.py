"""`orchestrator evaluate`: predictors and baselines on the same questions, with figures that can be trusted."""

from __future__ import annotations

import json as json_lib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from orchestrator.cli.output import counting_display, emit_rows, say
from orchestrator.errors import ConfigError
from orchestrator.store.delta import DeltaLabelStore

if TYPE_CHECKING:  # it loads torch
    from predictor.evaluation import Answer

_COLUMNS = ("target", "split", "labels", "model", "spearman", "mae", "regret", "coverage", "asked")


def evaluate(
    store: Annotated[str, typer.Option(help="folder or object-store URI")] = "labels",
    target: Annotated[
        list[str] | None, typer.Option(help="only sets whose name contains this, as SPACE/TASK/DATA; may be repeated")
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="architecture, task or space: what is held out; may be repeated")
    ] = None,
    labels: Annotated[str, typer.Option(help="numbers of known labels; others: all but one")] = "0,5,20,100",
    model: Annotated[list[str] | None, typer.Option(help="only this model; may be repeated")] = None,
    known: Annotated[
        list[str] | None, typer.Option(help="of other sets, only those whose name contains this; may be repeated")
    ] = None,
    seeds: Annotated[int, typer.Option(help="random choices of the known labels", min=1)] = 5,
    out: Annotated[
        Path | None, typer.Option(help="write the report to FILE.md, with pictures beside it, or FILE.json")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="processes; a core each if unset", min=1)] = None,
    json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Compare models: how well each predicts labels it has not seen, from few of a set and all of others."""
    counts = _counts(labels)
    _check_out(out)
    label_store = DeltaLabelStore(store)
    label_store.keys()  # a store that cannot be read is told before anything heavy is loaded
    from orchestrator.predictors.evaluation import evaluate_models
    from orchestrator.predictors.label_sets import read_label_sets
    from predictor.evaluation import summarise

    with counting_display("graphs read") as show:
        sets, left_out = read_label_sets(label_store, show)
    if left_out:
        say(f"{left_out} labels have no graph and are left out")
    with counting_display("questions answered") as show:
        answers = evaluate_models(sets, target or [], split or [], counts, model or [], seeds, show, jobs, known or [])
    rows = summarise(answers)
    if out is not None:
        _write(out, answers, rows)
    emit_rows(rows if json else [{name: row[name] for name in _COLUMNS} for row in rows], json)


def _write(out: Path, answers: Sequence[Answer], rows: list[dict[str, Any]]) -> None:
    from predictor.evaluation import can_plot, draw_plots, markdown

    if out.suffix == ".json":
        out.write_text(json_lib.dumps(rows, indent=1) + "\n")
        say(f"report written to {out}")
        return
    drawn = draw_plots(answers, out) if can_plot() else []
    pictures = "".join(f"\n![{path.stem}]({path.name})\n" for path in drawn)
    out.write_text(markdown(rows) + pictures)
    say(f"report written to {out}, with {len(drawn)} pictures beside it")
    if not can_plot():
        say("pictures are drawn by matplotlib: pip install 'aiop-orchestrator[plots]'")


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
        raise ConfigError(f"--out {out}: {error.strerror or error}: name a file that can be written") from None
