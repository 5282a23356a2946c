"""`orchestrator train`: a generation of the predictor from a store's labels."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import emit, emit_rows, say, stages_display
from orchestrator.errors import ConfigError
from orchestrator.store.delta import DeltaLabelStore

_COLUMNS = ("set", "tested", "spearman", "mae", "coverage")


def train(
    store: Annotated[str, typer.Option(help="folder or object-store URI")] = "labels",
    model: Annotated[str, typer.Option(help="default, aiop or another that learns from other sets")] = "default",
    out: Annotated[Path, typer.Option(help="folder of generations, reached by all nodes")] = Path("predictors"),
    workers: Annotated[int, typer.Option(help="processes that share each batch", min=1)] = 1,
    gpus: Annotated[float, typer.Option(help="GPUs a worker, or a part of one", min=0)] = 0.0,
    seed: Annotated[int, typer.Option(help="of the starting weights and the order of learning")] = 0,
    json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Train a predictor on all labels of a store; a tenth of the architectures is kept back to test it on."""
    version = DeltaLabelStore(store).version()
    if version < 0:
        raise ConfigError(f"--store {store}: it has no labels: make some with `orchestrator label` or `import`")
    # Torch and Ray take seconds to load; a wrong store does without.
    from orchestrator.predictors.training import Training, train_predictor

    began = time.monotonic()
    with stages_display("training") as show:
        made, about = train_predictor(Training(store, version, model, seed, workers, gpus), out, show)
    document = {
        "generation": str(made),
        "model": about["model"],
        "store": store,
        "version": version,
        "labels": about["labels"],
        "sets": len(about["sets"]),
        "seconds": time.monotonic() - began,
    }
    if json:
        emit(document | {"hold_out": about["hold_out"]}, json)
        return
    emit(document, json)
    if not about["hold_out"]:
        say("no set has enough labels to keep some back and test on them")
        return
    emit_rows([{name: row[name] for name in _COLUMNS} for row in about["hold_out"]], json)
