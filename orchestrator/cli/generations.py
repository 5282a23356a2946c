"""`orchestrator generations`: which there are, what became of candidates, and which one is used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.output import emit, emit_rows
from orchestrator.errors import ConfigError
from orchestrator.predictors.generations import champion, generation_numbers, pin, pinned, place_of, unpin
from orchestrator.predictors.refresh.history import compare, history, predecessor

app = typer.Typer(
    help="List the predictor's generations and refused candidates; compare, pin and roll back.", add_completion=False
)
_OUT = "folder of generations"
_JSON = "one JSON document on stdout"
Out = Annotated[Path | None, typer.Option(help=_OUT)]
Json = Annotated[bool, typer.Option("--json", help=_JSON)]
Number = Annotated[int, typer.Argument(help="number of a generation")]


@dataclass(frozen=True, slots=True)
class _Given:
    """What stood before the sub-command."""

    out: Path
    json: bool


@app.callback(invoke_without_command=True)
def generations(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help=_OUT)] = Path("predictors"),
    json: Json = False,
) -> None:
    """List the predictor's generations and refused candidates; compare, pin and roll back."""
    ctx.obj = _Given(out, json)
    if ctx.invoked_subcommand is None:
        _list(out, json)


@app.command("list")
def list_(ctx: typer.Context, out: Out = None, json: Json = False) -> None:
    """Number, time, store version, labels, hold-out score and what was decided."""
    _list(*_given(ctx, out, json))


@app.command("compare")
def compare_(ctx: typer.Context, one: Number, other: Number, out: Out = None, json: Json = False) -> None:
    """Hold-out scores of two generations, set by set; each on the labels there were when it was made."""
    folder, as_json = _given(ctx, out, json)
    emit_rows(compare(_existing(folder, one), _existing(folder, other)), as_json)


@app.command("pin")
def pin_(ctx: typer.Context, number: Number, out: Out = None, json: Json = False) -> None:
    """Use this generation, and no newer one until `unpin`."""
    folder, as_json = _given(ctx, out, json)
    pin(_existing(folder, number))
    emit({"champion": number, "pinned": number}, as_json)


@app.command("unpin")
def unpin_(ctx: typer.Context, out: Out = None, json: Json = False) -> None:
    """Let the next good generation be used."""
    folder, as_json = _given(ctx, out, json)
    unpin(folder)
    emit({"champion": champion(folder), "pinned": None}, as_json)


@app.command("rollback")
def rollback(ctx: typer.Context, out: Out = None, json: Json = False) -> None:
    """Use the champion before this one, pinned: else the next refresh would learn the same labels again."""
    folder, as_json = _given(ctx, out, json)
    number = predecessor(folder)
    pin(_existing(folder, number))
    emit({"champion": number, "pinned": number}, as_json)


def _given(ctx: typer.Context, out: Path | None, json: bool) -> tuple[Path, bool]:
    return out or ctx.obj.out, json or ctx.obj.json


def _existing(folder: Path, number: int) -> Path:
    there = generation_numbers(folder)
    if number not in there:
        known = ", ".join(map(str, there)) if there else "none: make one with `orchestrator train`"
        raise ConfigError(f"generation {number} of {folder}: does not exist; there are {known}")
    return place_of(folder, number)


def _list(folder: Path, json: bool) -> None:
    rows = history(folder, champion(folder), pinned(folder))
    emit_rows(rows if json else [_short(row) for row in rows], json)


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """For a narrow terminal."""
    used = "pinned" if row["pinned"] else "yes" if row["champion"] else ""
    made = (row["made"] or "")[:16].replace("T", " ")
    columns = {"no": row["generation"], "made": made, "used": used}
    return columns | {name: row[name] for name in ("version", "labels", "hold_out", "decision", "reason")}
