"""`orchestrator graph`: the computational graph of a network."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import emit, say
from orchestrator.errors import ConfigError
from orchestrator.published.image_size import IMAGE_SIZE, image_size


def graph(
    model: Annotated[
        str,
        typer.Argument(
            help="timm:NAME, mmdet:CONFIG, FILE.onnx, nasbench201:STRING, mnasnet:JSON, package.module:function ..."
        ),
    ],
    input_size: Annotated[str, typer.Option(help="pixels of the image, SIDE or HEIGHTxWIDTH")] = "224",
    svg: Annotated[Path | None, typer.Option(help="draw it into this file")] = None,
    out: Annotated[Path | None, typer.Option(help="write it as JSON into this file")] = None,
    json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Trace a network, without weights, and tell what it is made of."""
    try:
        size = image_size(input_size)
    except ValueError:
        raise ConfigError(f"--input-size {input_size}: write {IMAGE_SIZE} in pixels, such as 224 or 800x1333") from None
    # Torch takes seconds to load; --help and a wrong size do without.
    from orchestrator.published.named_networks import open_model
    from predictor.graph import trace
    from predictor.graph.drawing import to_svg

    found = trace(open_model(model).build(), (3, *size))
    for path, text in ((svg, to_svg), (out, lambda g: g.to_json())):
        if path is not None:
            _write(path, text(found))
    kinds = Counter(node.op for node in found.nodes)
    emit(
        {
            "model": model,
            "id": found.id,
            "version": found.version,
            "input_size": list(found.input_size),
            "nodes": len(found.nodes),
            "edges": len(found.edges),
            "flops": found.flops,
            "params": found.params,
            "operations": dict(kinds.most_common()),
        },
        json,
    )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}: name a file that can be written") from None
    say(f"{path} written")
