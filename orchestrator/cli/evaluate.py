"""`orchestrator evaluate`: predictors and baselines on the same held-out labels, with bootstrap intervals."""

from __future__ import annotations

import json as json_lib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from orchestrator.cli.options import Json, Store
from orchestrator.cli.output import counting_display, emit_rows, say
from orchestrator.cli.tables import Column
from orchestrator.errors import ConfigError
from orchestrator.store.delta import DeltaLabelStore
from predictor.atomic_write import replace_file
from predictor.errors import write_problem
from predictor.plain_numbers import plain_int

if TYPE_CHECKING:  # it loads torch
    from predictor.evaluation import Answer
    from predictor.label_set import LabelSet

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
        typer.Option(help="Only the label set SPACE/TASK/DATA, or those whose name contains this; may be repeated."),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="What is held out: architecture, task, space or family; may be repeated.")
    ] = None,
    labels: Annotated[
        str, typer.Option(help="Numbers of known labels of the set; others: all but one.")
    ] = "0,5,20,100",
    model: Annotated[
        list[str] | None, typer.Option(help="Only this model, or default:SETTING=VALUE,...; may be repeated.")
    ] = None,
    nested: Annotated[
        bool,
        typer.Option(
            "--nested", help="For each space, also show whichever of our models was best on all other spaces."
        ),
    ] = False,
    known: Annotated[
        list[str] | None,
        typer.Option(help="Learn only from the other set with this name, or from those that contain it."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of random choices of the known labels.", min=1)] = 5,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the report to FILE.md, with pictures next to it, or to FILE.json; also while it grows."
        ),
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Number of processes; one per core if unset.", min=1)] = None,
    json: Json = False,
) -> None:
    """Compare models on labels they have not seen, given few labels of a set and all labels of other sets."""
    counts = _counts(labels)
    _check_out(out)
    if nested and len(_variants(model or [])) < 2:
        raise ConfigError("--nested: name two or more of our models, such as --model default --model default:slope=0.3")
    label_store = DeltaLabelStore(store)
    label_store.keys()  # an unreadable store is reported before anything heavy is loaded
    from orchestrator.predictors.evaluation import evaluate_models, selected_names
    from orchestrator.predictors.label_sets import read_label_sets
    from predictor.evaluation import summarise

    with counting_display("graphs read") as show:
        sets, left_out = read_label_sets(label_store, show)
    if left_out:
        say(f"{left_out} labels have no graph and are skipped")
    for option, patterns in (("--target", target or []), ("--known", known or [])):
        for pattern in patterns:
            names = selected_names(sets, [pattern], split or [], option)
            if names != [pattern]:
                say(f"{option} {pattern}: {len(names)} sets: {', '.join(names)}")
    partial = _PartialReport(out) if out is not None else None
    with counting_display("batches of questions answered") as show:
        answers = evaluate_models(
            sets, target or [], split or [], counts, model or [], seeds, show, jobs, known or [], partial
        )
    if nested:
        answers += _nested_answers(answers, sets)
    rows = summarise(answers)
    if out is not None:
        _write(out, answers, rows)
    emit_rows(rows, json, _COLUMNS)


def _variants(models: Sequence[str]) -> list[str]:
    """Return the models among which a choice is made: ours, with any settings."""
    return [model for model in dict.fromkeys(models) if model.split(":")[0] == "default"]


def _nested_answers(answers: Sequence[Answer], sets: Sequence[LabelSet]) -> list[Answer]:
    from predictor.evaluation import join_family_sets, select_nested

    candidates = _variants([answer.model for answer in answers])
    spaces = {labels.name: labels.space.split("-")[0] for labels in [*join_family_sets(sets), *sets]}
    chosen, choices = select_nested(answers, candidates, spaces)
    for choice in choices:
        say(f"nested, {choice.split}: {choice.space}: {choice.model}, {choice.score:.3f} on other spaces")
    if not choices:
        say("nested: there is only one space, so no variant can be chosen on others")
    return chosen


class _PartialReport:
    """Writes the report of the answers so far, as a whole or not at all, in at most a tenth of the time."""

    def __init__(self, out: Path) -> None:
        self._out, self._next = out, 0.0

    def __call__(self, answers: Sequence[Answer], done: int, total: int) -> None:
        from predictor.evaluation import summarise, to_markdown

        began = time.monotonic()
        if began < self._next or done == total:
            return
        rows = summarise(answers)
        note = f"Partial report: {done} of {total} batches of questions are answered.\n\n"
        text = json_lib.dumps(rows, indent=1) + "\n" if self._out.suffix == ".json" else note + to_markdown(rows)
        replace_file(self._out, text)
        self._next = time.monotonic() + 9 * (time.monotonic() - began)


def _write(out: Path, answers: Sequence[Answer], rows: list[dict[str, Any]]) -> None:
    from predictor.evaluation import can_plot, draw_plots, to_markdown

    if out.suffix == ".json":
        replace_file(out, json_lib.dumps(rows, indent=1) + "\n")
        say(f"report written to {out}")
        return
    drawn = draw_plots(answers, out) if can_plot() else []
    pictures = "".join(f"\n![{path.stem}]({path.name})\n" for path in drawn)
    replace_file(out, to_markdown(rows) + pictures)
    say(f"report written to {out}, with {len(drawn)} pictures next to it")
    if not can_plot():
        say("no pictures, because matplotlib is missing: pip install 'aiop-orchestrator[plots]'")


def _counts(text: str) -> list[int | Literal["others"]]:
    parts = [part.strip() for part in text.split(",")]
    try:
        return ["others" if part == "others" else plain_int(part, least=0) for part in parts]
    except ValueError:
        raise ConfigError(
            f"--labels {text}: write numbers with commas between them, for example 0,20,100, or others"
        ) from None


def _check_out(out: Path | None) -> None:
    if out is None:
        return
    if out.suffix not in (".md", ".json"):
        raise ConfigError(f"--out {out}: name a file that ends in .md or .json")
    try:
        is_new = not out.exists()
        out.touch()
        if is_new:
            out.unlink()  # the first partial report creates it
    except OSError as error:
        raise ConfigError(f"--out {out}: {write_problem(error, 'choose a writable file')}") from None
