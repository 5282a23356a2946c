"""`orchestrator train`: a generation of the predictor from a store's labels."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import Gpus, Json, OldOut, Predictors, Store, Workers, renamed_option
from orchestrator.cli.output import emit, emit_rows, say, stages_display
from orchestrator.errors import ConfigError
from orchestrator.predictors.generations import SHIPPED
from orchestrator.store.delta import DeltaLabelStore
from predictor import shipped
from predictor.metadata import hold_out_to_json

_COLUMNS = ("set", "tested", "spearman", "mae", "coverage")


def train(
    store: Store = "labels",
    model: Annotated[str, typer.Option(help="Model: default, aiop or another that learns across label sets.")] = (
        "default"
    ),
    predictors: Predictors = Path("predictors"),
    workers: Workers = 1,
    gpus: Gpus = 0.0,
    base: Annotated[
        str,
        typer.Option(
            help="none: train from nothing; shipped, or the folder of a generation: add the labels to this one, in "
            "seconds and without its labels."
        ),
    ] = "none",
    seed: Annotated[int, typer.Option(help="Seed of the initial weights and the data order.")] = 0,
    old_out: OldOut = None,
    json: Json = False,
) -> None:
    """Train a predictor on the labels of a store; a fixed tenth of the architectures is held out to test it."""
    folder = renamed_option("--out", old_out, "--predictors", predictors)
    extended = _base_folder(base, model)
    version = DeltaLabelStore(store).version()
    if version < 0:
        raise ConfigError(f"--store {store}: has no labels: make some with `orchestrator label` or `import`")
    # Torch and Ray take seconds to load; a wrong store does without.
    from orchestrator.predictors.training import TrainingRequest, train_predictor

    request = TrainingRequest(store, version, model, seed, workers, gpus, base=extended)
    began = time.monotonic()
    with stages_display("training") as show:
        made, metadata = train_predictor(request, folder, show)
    document = {
        "generation": str(made),
        "model": metadata.model,
        "store": store,
        "version": version,
        "base": extended or None,
        "labels": metadata.labels,
        "sets": len(metadata.sets),
        "seconds": time.monotonic() - began,
    }
    rows = hold_out_to_json(metadata.hold_out)
    if json:
        emit(document | {"hold_out": rows}, json)
        return
    emit(document, json)
    if not rows:
        say("no label set is large enough to hold some labels out: the predictor was not tested")
        return
    emit_rows([{name: row[name] for name in _COLUMNS} for row in rows], json)


def _base_folder(base: str, model: str) -> str:
    """Return the folder of the generation to extend, or an empty text. Raises GenerationError if it is none."""
    if base == "none":
        return ""
    from predictor.generation import read_metadata

    folder = shipped.FOLDER if base == SHIPPED else Path(base).absolute()
    if (found := read_metadata(folder).model) != model:
        raise ConfigError(f"--base {base}: is of model {found}, not {model}: choose another, or give --model {found}")
    return SHIPPED if base == SHIPPED else str(folder)
