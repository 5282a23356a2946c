"""`orchestrator generations`: list generations and refused candidates, compare, pin, roll back and export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.options import Json, OldOut, Predictors, existing_generation, renamed_option
from orchestrator.cli.output import emit, emit_rows
from orchestrator.cli.tables import Column
from orchestrator.predictors.generations import (
    champion_number,
    pin,
    pinned_number,
    unpin,
)
from orchestrator.predictors.refresh.history import compare, history, previous_champion

app = typer.Typer(
    help="List the predictor's generations and refused candidates; compare, pin and roll back.", add_completion=False
)
Folder = Annotated[Path | None, typer.Option("--predictors", help="Folder of the predictor's generations.")]
Number = Annotated[int, typer.Argument(help="Number of a generation.")]


_COLUMNS = (
    Column("generation"),
    Column("used"),
    Column("made", rank=2),
    Column("version", "store version", rank=3),
    Column("labels", rank=1),
    Column("hold_out", "hold-out score"),
    Column("decision"),
    Column("reason", rank=4),
)


@dataclass(frozen=True, slots=True)
class _Given:
    """Options written before the sub-command."""

    folder: Path
    json: bool


@app.callback(invoke_without_command=True)
def generations(
    ctx: typer.Context,
    predictors: Predictors = Path("predictors"),
    old_out: OldOut = None,
    json: Json = False,
) -> None:
    """List the predictor's generations and refused candidates; compare, pin and roll back."""
    folder = renamed_option("--out", old_out, "--predictors", predictors)
    ctx.obj = _Given(folder, json)
    if ctx.invoked_subcommand is None:
        _list(folder, json)


@app.command("list")
def list_(ctx: typer.Context, folder: Folder = None, old_out: OldOut = None, json: Json = False) -> None:
    """List number, time, store version, labels, hold-out score and decision of each generation."""
    _list(*_given(ctx, folder, old_out, json))


@app.command("compare")
def compare_(
    ctx: typer.Context, one: Number, other: Number, folder: Folder = None, old_out: OldOut = None, json: Json = False
) -> None:
    """Compare hold-out scores of two generations by label set; each was scored on the labels of its time."""
    root, as_json = _given(ctx, folder, old_out, json)
    emit_rows(compare(existing_generation(root, one), existing_generation(root, other)), as_json)


@app.command("pin")
def pin_(ctx: typer.Context, number: Number, folder: Folder = None, old_out: OldOut = None, json: Json = False) -> None:
    """Use this generation until `unpin`, even if newer ones are better."""
    root, as_json = _given(ctx, folder, old_out, json)
    pin(existing_generation(root, number))
    emit({"champion": number, "pinned": number}, as_json)


@app.command("unpin")
def unpin_(ctx: typer.Context, folder: Folder = None, old_out: OldOut = None, json: Json = False) -> None:
    """Allow newer generations to be used again."""
    root, as_json = _given(ctx, folder, old_out, json)
    unpin(root)
    emit({"champion": champion_number(root), "pinned": None}, as_json)


@app.command("rollback")
def rollback(ctx: typer.Context, folder: Folder = None, old_out: OldOut = None, json: Json = False) -> None:
    """Use the previous champion and pin it; without the pin the next refresh would train on the same labels again."""
    root, as_json = _given(ctx, folder, old_out, json)
    number = previous_champion(root)
    pin(existing_generation(root, number))
    emit({"champion": number, "pinned": number}, as_json)


@app.command("export")
def export_(
    ctx: typer.Context,
    number: Number,
    out: Annotated[Path, typer.Argument(help="Folder to write, which must not exist.")],
    folder: Folder = None,
    json: Json = False,
) -> None:
    """Write a generation to a new folder, to share it; the location of the labels is left out."""
    from orchestrator.predictors.export import export_generation  # loads numpy

    root, as_json = _given(ctx, folder, None, json)
    export_generation(existing_generation(root, number), out)
    emit({"generation": number, "exported": str(out)}, as_json)


def _given(ctx: typer.Context, folder: Path | None, old_out: Path | None, json: bool) -> tuple[Path, bool]:
    """Options of the sub-command, by default those before it."""
    default = folder or ctx.obj.folder
    return renamed_option("--out", old_out, "--predictors", default), json or ctx.obj.json


def _list(folder: Path, json: bool) -> None:
    rows = history(folder, champion_number(folder), pinned_number(folder))
    emit_rows(rows if json else [_short(row) for row in rows], json, _COLUMNS)


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """The columns of the table."""
    used = "pinned" if row["pinned"] else "yes" if row["champion"] else ""
    made = (row["made"] or "")[:16].replace("T", " ")
    return row | {"made": made, "used": used}
