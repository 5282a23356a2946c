"""`orchestrator predict`: how good networks would be at a task, without training them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import emit_rows
from orchestrator.errors import ConfigError
from orchestrator.published.image_size import IMAGE_SIZE, image_size


def predict(
    models: Annotated[
        list[str],
        typer.Argument(
            help="timm:NAME, mmdet:CONFIG, FILE.onnx, nasbench201:STRING, mnasnet:JSON, package.module:function ..."
        ),
    ],
    task: Annotated[str, typer.Option(help="a task that the predictor has labels of")],
    data: Annotated[str | None, typer.Option(help="whose labels are meant; by default the data with most")] = None,
    input_size: Annotated[str, typer.Option(help="pixels of the image, SIDE or HEIGHTxWIDTH")] = "224",
    predictor: Annotated[Path, typer.Option(help="folder of a generation")] = Path("predictors/latest"),
    json: Annotated[bool, typer.Option("--json", help="one JSON list on stdout")] = False,
) -> None:
    """Mean and deviation of each network's label, in the task's metric, with its FLOPs and parameters."""
    try:
        size = image_size(input_size)
    except ValueError:
        raise ConfigError(f"--input-size {input_size}: write {IMAGE_SIZE} in pixels, such as 224 or 800x1333") from None
    # Torch takes seconds to load; a missing predictor does without.
    from predictor.generation import read_about

    read_about(predictor)
    from orchestrator.published.named_networks import open_model
    from predictor import Predictor
    from predictor.graph import trace

    loaded = Predictor.load(predictor)
    graphs = [trace(open_model(model).build(), (3, *size)) for model in models]
    found = loaded.predict(graphs, task, data)
    emit_rows(
        [
            {
                "model": model,
                "mean": float(mean),
                "deviation": None if deviation != deviation else float(deviation),  # NaN: it only ranks
                "flops": graph.flops,
                "params": graph.params,
            }
            for model, graph, mean, deviation in zip(models, graphs, found.mean, found.deviation, strict=True)
        ],
        json,
    )
