"""`orchestrator graph`: the computational graph of a network."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import emit, say
from orchestrator.errors import ConfigError


def graph(
    model: Annotated[
        str,
        typer.Argument(help="timm:NAME, mmdet:CONFIG, nasbench201:STRING, mnasnet:JSON, package.module:function ..."),
    ],
    input_size: Annotated[str, typer.Option(help="pixels of the image, SIDE or HEIGHTxWIDTH")] = "224",
    svg: Annotated[Path | None, typer.Option(help="draw it into this file")] = None,
    out: Annotated[Path | None, typer.Option(help="write it as JSON into this file")] = None,
    json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Trace a network, without weights, and tell what it is made of."""
    size = image_size(input_size)
    # Torch takes seconds to load; --help and a wrong size do without.
    from orchestrator.models import open_model
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


def image_size(text: str) -> tuple[int, int]:
    """Height and width from 224 or 800x1333. Raises ConfigError."""
    parts = text.split("x")
    if len(parts) > 2 or not all(part.isdigit() and int(part) for part in parts):
        raise ConfigError(f"--input-size {text}: write SIDE or HEIGHTxWIDTH in pixels, such as 224 or 800x1333")
    return int(parts[0]), int(parts[-1])


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}: name a file that can be written") from None
    say(f"{path} written")
