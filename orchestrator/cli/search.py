"""`orchestrator search`: the best networks of a space within limits, verified against a reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.campaign.search_config import OPTIONS, SearchConfig
from orchestrator.cli.options import Json, options_from
from orchestrator.cli.output import emit, emit_rows, say
from orchestrator.cli.tables import Column
from orchestrator.errors import ConfigError

_COST_COLUMNS = (Column("flops", "FLOPs"), Column("params", "", 1), Column("latency", "ms", 1))
_FRONT = (Column("genotype", "architecture"), Column("value"), Column("expected"), *_COST_COLUMNS)
_VERIFIED = (
    Column("genotype", "architecture"),
    Column("predicted", "", 1),
    Column("deviation", "±", 1),
    Column("value", "searched"),
    Column("verified"),
    Column("difference"),
    Column("interval", "90 %", 1),
    Column("verdict"),
    *_COST_COLUMNS,
)

_AGREES = 0.5  # rank correlation; below it the rounds hardly looked for what is verified


@options_from(SearchConfig, OPTIONS)
def search(
    fields: Mapping[str, Any],
    export: Annotated[
        Path | None,
        typer.Option(help="New folder for the winner: a Python file that needs torch only, ONNX and trained weights."),
    ] = None,
    json: Json = False,
) -> None:
    """Search for the best networks within limits, and verify them against a reference. Run it again to continue.

    A profile of the space says whether the limits can be met. Rounds choose networks by evolution with the predictor,
    and label them; the predictor learns from each. The best are then labelled with --verify-fidelity and several seeds.
    Exit code 1: it ended early, or no network was verified.
    """
    config = SearchConfig.checked(**fields)
    if export is not None and not config.verify:
        raise ConfigError("--export: writes a verified network: leave out --verify 0")
    # Torch and mmdet take seconds to load; --help and wrong options do without.
    from orchestrator.cli.search_run import search_to_the_end

    document = search_to_the_end(config, export)
    if json:
        emit(document, json)
    else:
        _print(document, config)
    ended = document["problem"] is None and (document["winner"] is not None or not config.verify)
    raise typer.Exit(0 if ended else 1)


def _print(document: Mapping[str, Any], config: SearchConfig) -> None:
    """Print the front, the verified networks for each task, and what was found."""
    emit_rows(document["front"], False, _present(document["front"], _FRONT), "front")
    for task in config.tasks:
        rows = [_flat(row, task) for row in document["verified"] if task in row["verified"]]
        if rows:
            reference = document["reference"]["verified"].get(task)
            emit_rows(rows, False, _present(rows, _VERIFIED), f"verified, {task}: reference {reference:.3f}")
    winner = document["winner"]
    shown = {name: document[name] for name in ("task", "space", "labels", "known", "seconds", "traced", "store")}
    wanted = ("architecture", "genotype", "flops", "params", "latency")
    emit(shown | {"winner": {name: winner[name] for name in wanted if name in winner} if winner else {}}, False)
    for task, rho in document["agreement"].items():
        if rho is not None and rho < _AGREES and config.fidelity != config.verify_fidelity:
            say(
                f"{task}: labels of fidelity {config.fidelity} ranked the verified networks with a correlation of "
                f"{rho:.2f} only: search again with --fidelity {config.verify_fidelity}, which uses the verified labels"
            )
    if document["problem"]:
        say(f"stopped: {document['problem']}")


def _present(rows: list[dict[str, Any]], columns: tuple[Column, ...]) -> list[Column]:
    """Return the columns that some row has a value for."""
    return [column for column in columns if any(row.get(column.key) is not None for row in rows)]


def _flat(row: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return a verified network's row for one task, without nesting."""
    found = row["verified"][task]
    interval = None if found["low"] is None else f"{found['low']:+.3f} to {found['high']:+.3f}"
    numbers = {"verified": found["value"], "difference": found["difference"], "verdict": found["verdict"]}
    return {**row, **numbers, "interval": interval, "value": row["values"][task]}
