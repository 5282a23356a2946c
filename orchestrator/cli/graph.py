"""`orchestrator graph`: the computational graph of a network."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import NETWORK_NAMES, InputSize, Json, parse_input_size
from orchestrator.cli.output import emit, say
from orchestrator.errors import ConfigError
from predictor.errors import write_problem


def graph(
    model: Annotated[str, typer.Argument(help=f"Network: {NETWORK_NAMES}")],
    size: InputSize = "224",
    svg: Annotated[Path | None, typer.Option(help="Draw the graph into this SVG file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the graph into this JSON file.")] = None,
    json: Json = False,
) -> None:
    """Trace a network without its weights and count its operations."""
    image = parse_input_size(size)
    # Torch takes seconds to load; --help and a wrong size do without.
    from orchestrator.published.named_networks import open_network
    from predictor.graph import trace
    from predictor.graph.drawing import to_svg

    traced = trace(open_network(model).build(), image)
    for path, text in ((svg, to_svg), (out, lambda g: g.to_json())):
        if path is not None:
            _write(path, text(traced))
    if traced.uncounted:
        say(f"{model}: {traced.incomplete_flops}")
    operations = Counter(node.op for node in traced.nodes)
    emit(
        {
            "model": model,
            "id": traced.id,
            "version": traced.version,
            "input_size": list(traced.input_size),
            "nodes": len(traced.nodes),
            "edges": len(traced.edges),
            "flops": traced.flops,
            "flops_lower_bound": bool(traced.uncounted),
            "uncounted": list(traced.uncounted),
            "params": traced.params,
            "operations": dict(operations.most_common()),
        },
        json,
    )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise ConfigError(f"{path}: {write_problem(error, 'choose a writable file')}") from None
    say(f"{path} written")
