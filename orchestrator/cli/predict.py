"""`orchestrator predict`: the expected label of networks that were never trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import (
    IMAGE,
    NETWORK_NAMES,
    Json,
    Predictors,
    existing_generation,
    parse_input_size,
    renamed_option,
    was_given,
)
from orchestrator.cli.output import emit_rows, say
from orchestrator.cli.tables import Column
from orchestrator.errors import ConfigError
from orchestrator.predictors.generations import LATEST
from predictor import shipped

_COLUMNS = (
    Column("model"),
    Column("mean"),
    Column("deviation"),
    Column("distance"),
    Column("flops", "FLOPs", 1),
    Column("params", "", 1),
    Column("network", "", 2),
)


def predict(
    ctx: typer.Context,
    models: Annotated[list[str], typer.Argument(help=f"Networks: {NETWORK_NAMES}")],
    task: Annotated[str, typer.Option(help="Task; the predictor must have seen labels of it.")],
    data: Annotated[
        str | None, typer.Option(help="Data set of the labels; by default the one with most labels of the task.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Recipe of the labels, such as seg.laptop or published:1x; or a tier or YAML file whose head and "
            "input size are built. By default the recipe with most labels."
        ),
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="none: build each network as it is, without the head of the labels.")
    ] = None,
    size: Annotated[
        str | None, typer.Option("--input-size", help=f"Image size in pixels: {IMAGE}. By default that of the labels.")
    ] = None,
    predictors: Predictors = Path("predictors"),
    generation: Annotated[
        int | None, typer.Option(help="Number of the generation; by default the one in use.", min=1)
    ] = None,
    old_predictor: Annotated[
        Path | None, typer.Option("--predictor", hidden=True, help="Deprecated: use --predictors.")
    ] = None,
    json: Json = False,
) -> None:
    """Predict mean and standard deviation of each network's label, in the task's metric.

    Without a predictor of your own, the one that comes with the package answers; it was trained on published results.
    Built is what a label is of: the named backbone with the head and input size of the labels. The distance says how
    unlike the training graphs it is; more than 1 is far, and has a wider interval. Exit code 1: a network could not be
    built; the others are predicted.
    """
    if head not in (None, "none"):
        raise ConfigError(f"--head {head}: write none, or choose a head with --recipe")
    image = None if size is None else parse_input_size(size)
    if old_predictor is not None:  # named the folder of one generation
        folder = renamed_option("--predictor", old_predictor, "--predictors and --generation", predictors)
    elif generation is not None:
        folder = existing_generation(predictors, generation)
    else:
        folder = _champion(predictors, was_given(ctx, "predictors"))
    # Torch takes seconds to load; a missing predictor is reported without it.
    from predictor.generation import read_metadata

    read_metadata(folder)
    from orchestrator.published.answers import Question, answer_question
    from orchestrator.published.label_network import BuildOptions
    from predictor import Predictor

    question = Question(tuple(models), task, data, BuildOptions(recipe, head is None, image))
    answer = answer_question(Predictor.load(folder), question)
    if folder == shipped.FOLDER:
        say("predictor: comes with the package; `orchestrator train` makes one from your own labels")
    say(f"labels: {answer.group.title}")
    for note in answer.notes:
        say(f"note: {note}")
    for row in answer.failed:
        say(f"{row['model']}: not predicted: {row['error']}")
    if json:
        emit_rows([row | {"notes": list(answer.notes)} for row in answer.rows], json)
    elif predicted := [row | {"distance": _distance(row)} for row in answer.rows if row["error"] is None]:
        emit_rows(predicted, json, _COLUMNS)
    raise typer.Exit(1 if answer.failed else 0)


def _champion(predictors: Path, given: bool) -> Path:
    """The generation in use: of the folder, or if there is none and none was asked for, the shipped one."""
    latest = predictors / LATEST
    return latest if given or latest.exists() else shipped.FOLDER


def _distance(row: dict[str, object]) -> str | None:
    """The distance as text, with a mark if the network is far."""
    distance = row["distance"]
    return None if distance is None else f"{distance:.2f}{' far' if row['far'] else ''}"
