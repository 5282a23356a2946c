"""`orchestrator fetch-weights`: published weights, or those of a checkpoint, as a file that a recipe can name."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from orchestrator.cli.options import Json
from orchestrator.cli.output import bytes_display, emit


def fetch_weights(
    source: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE",
            help="ofa:mobilenetv3_w1.0, ofa:mobilenetv3_w1.2, ofa:proxylessnas_w1.3, ofa:resnet50, timm:MODEL[.TAG], "
            "torchvision:MODEL[.WEIGHTS], or a checkpoint (.pth, .pt, .bin, .safetensors).",
        ),
    ],
    sha256: Annotated[str, typer.Option(help="Accept only a file whose SHA-256 begins with these digits.")] = "",
    mirror: Annotated[
        str, typer.Option(help="URL in place of the publisher's host; also $AIOP_WEIGHTS_MIRROR.", metavar="URL")
    ] = "",
    entry: Annotated[str, typer.Option(help="Entry of the checkpoint with the weights; found if unset.")] = "",
    json: Json = False,
) -> None:
    """Download published weights, or read a checkpoint, and convert them to a safetensors file for a recipe.

    An interrupted download continues where it stopped. A file that is here is not downloaded again.
    """
    # Requests and torch take seconds to load; --help does without.
    from orchestrator.weights.catalogue import is_published_name
    from orchestrator.weights.fetching import fetch_weights as fetch

    if is_published_name(source):
        with bytes_display() as show:
            fetched = fetch(source, sha256=sha256, mirror=mirror, entry=entry, show=show)
    else:
        fetched = fetch(source, sha256=sha256, entry=entry)
    use = f"{fetched.options or '--space SPACE'} --fidelity full --set body.pretrained={fetched.path}"
    emit(asdict(fetched) | {"use": use}, json)
