"""`orchestrator latency`: measured milliseconds of networks on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import IMAGE, NETWORK_NAMES, Json, parse_input_size
from orchestrator.cli.output import counting_display, emit_rows, say
from orchestrator.cli.tables import Column
from orchestrator.errors import ConfigError, StoreError
from orchestrator.store.delta import DeltaLabelStore
from predictor.errors import write_problem
from workers.latency.settings import MODES, PRECISIONS, REPEATS, SECONDS, WARM_UP, LatencySettings
from workers.storage.spool import in_object_store

_COLUMNS = (
    Column("model"),
    Column("ms"),
    Column("spread"),
    Column("repeats", "", 2),
    Column("flops", "FLOPs", 1),
    Column("params", "", 1),
    Column("network", "", 2),
)


def latency(
    models: Annotated[list[str], typer.Argument(help=f"Networks: {NETWORK_NAMES}")],
    task: Annotated[str | None, typer.Option(help="Measure backbones with the head of this task.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="With --task: tier or YAML file with head and input size; by default laptop.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="With --task: data set whose classes the head has; by default the recipe's, or shapes."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--input-size", help=f"Image size in pixels: {IMAGE}. By default the recipe's, or 224."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    batch: Annotated[int, typer.Option(help="Images at once; the milliseconds are of all of them.")] = 1,
    precision: Annotated[str, typer.Option(help=f"One of {', '.join(PRECISIONS)}.")] = "fp32",
    threads: Annotated[int | None, typer.Option(help="Threads of the CPU; by default its physical cores.")] = None,
    mode: Annotated[str, typer.Option(help=f"One of {', '.join(MODES)}.")] = "eager",
    warm_up: Annotated[int, typer.Option(help="Runs before the first that counts.")] = WARM_UP,
    repeats: Annotated[int, typer.Option(help="Runs that count.")] = REPEATS,
    seconds: Annotated[float, typer.Option(help="Seconds per network after which no further run starts.")] = SECONDS,
    store: Annotated[
        str | None, typer.Option(help="Label store that gets the results: a folder or an object-store URI.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Also measure networks that the store has.")] = False,
    json: Json = False,
) -> None:
    """Measure the milliseconds of networks with random weights on this machine, in turn.

    With --store the results become labels of the task latency, which `train` learns: each device with its settings is
    another data set. Exit code 1: a network could not be measured; the others were.
    """
    settings = LatencySettings(device, batch, precision, threads, mode, warm_up, repeats, seconds)
    image = None if size is None else parse_input_size(size)
    if task is None and (recipe is not None or data is not None):
        name = "recipe" if recipe is not None else "data"
        raise ConfigError(f"--{name}: is of a task's head: add --task, or leave it out to measure whole networks")
    if again and store is None:
        raise ConfigError("--again: measures what a store has: add --store, or leave it out")
    labels = None if store is None else _open_store(store)
    # Torch takes seconds to load; wrong options do without.
    from orchestrator.published.latency_labels import LatencyQuestion, MeasuredHead, failed_rows, measure_networks

    head = None if task is None else MeasuredHead(task, **({"recipe": recipe} if recipe else {}), data=data)
    question = LatencyQuestion(tuple(models), settings, head, image, again)
    with counting_display("networks measured") as show:
        rows = measure_networks(question, labels, show)
    say(f"data set: {rows[0]['data']}")
    for row in failed_rows(rows):
        say(f"{row['model']}: not measured: {row['error']}")
    for model in dict.fromkeys(row["model"] for row in rows if row["flops_lower_bound"]):
        say(f"note: {model}: FLOPs are a lower bound: `orchestrator graph` names the operations that are not counted")
    if busy := [row for row in rows if row["busy"]]:
        remedy = "" if settings.threads == 1 or not settings.on_cpu else ", or with --threads 1"
        say(f"note: the machine was busy during {len(busy)} of {len(rows)}: measure again when it is idle{remedy}")
    if json:
        emit_rows(rows, json)
    elif measured := [row for row in rows if row["error"] is None]:
        emit_rows(measured, json, _COLUMNS)
    raise typer.Exit(1 if failed_rows(rows) else 0)


def _open_store(store: str) -> DeltaLabelStore:
    """Return the store. One that cannot be read or created is an error before anything is built."""
    if not store:
        raise ConfigError("--store is empty: name a folder or an object-store URI")
    labels = DeltaLabelStore(store)
    labels.keys()
    if not in_object_store(store):
        try:
            Path(store.removeprefix("file://")).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = write_problem(error, "choose a writable location")
            raise StoreError(f"label store {store}: cannot be created: {problem}") from None
    return labels
