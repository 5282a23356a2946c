"""`orchestrator predict`: the expected label of networks that were never trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import (
    NETWORK_NAMES,
    InputSize,
    Json,
    Predictors,
    existing_generation,
    parse_input_size,
    renamed_option,
)
from orchestrator.cli.output import emit_rows
from orchestrator.cli.tables import Column
from orchestrator.predictors.generations import LATEST

_COLUMNS = (Column("model"), Column("mean"), Column("deviation"), Column("flops", "FLOPs"), Column("params"))


def predict(
    models: Annotated[list[str], typer.Argument(help=f"Networks: {NETWORK_NAMES}")],
    task: Annotated[str, typer.Option(help="Task; the predictor must have seen labels of it.")],
    data: Annotated[
        str | None, typer.Option(help="Data set of the labels; by default the one with most labels of the task.")
    ] = None,
    size: InputSize = "224",
    predictors: Predictors = Path("predictors"),
    generation: Annotated[
        int | None, typer.Option(help="Number of the generation; by default the one in use.", min=1)
    ] = None,
    old_predictor: Annotated[
        Path | None, typer.Option("--predictor", hidden=True, help="Deprecated: use --predictors.")
    ] = None,
    json: Json = False,
) -> None:
    """Predict mean and standard deviation of each network's label, in the task's metric, with FLOPs and parameters."""
    image = parse_input_size(size)
    if old_predictor is None:
        folder = predictors / LATEST if generation is None else existing_generation(predictors, generation)
    else:  # named the folder of one generation
        folder = renamed_option("--predictor", old_predictor, "--predictors and --generation", predictors)
    # Torch takes seconds to load; a missing predictor is reported without it.
    from predictor.generation import read_metadata

    read_metadata(folder)
    from orchestrator.published.named_networks import open_network
    from predictor import Predictor
    from predictor.graph import trace

    predictor = Predictor.load(folder)
    graphs = [trace(open_network(model).build(), image) for model in models]
    prediction = predictor.predict(graphs, task, data)
    rows = [
        {
            "model": model,
            "mean": float(mean),
            "deviation": None if deviation != deviation else float(deviation),  # NaN: the mean only ranks
            "flops": graph.flops,
            "params": graph.params,
        }
        for model, graph, mean, deviation in zip(models, graphs, prediction.mean, prediction.deviation, strict=True)
    ]
    emit_rows(rows, json, _COLUMNS)
