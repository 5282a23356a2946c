"""`orchestrator labels`: the rows of the store."""

from __future__ import annotations

import json as json_lib
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import typer

from orchestrator.cli.output import emit_rows, say
from orchestrator.errors import ConfigError
from orchestrator.store.delta import DeltaLabelStore

_SHOWN = ("architecture", "space", "task", "data", "recipe_name", "seed", "metric", "value", "flops", "params")


def labels(
    store: Annotated[str, typer.Option(help="folder or object-store URI")] = "labels",
    task: Annotated[str | None, typer.Option(help="only this task")] = None,
    space: Annotated[str | None, typer.Option(help="only this space")] = None,
    data: Annotated[str | None, typer.Option(help="only this data set")] = None,
    limit: Annotated[int, typer.Option(help="rows shown, best first", min=1)] = 20,
    out: Annotated[Path | None, typer.Option(help="write all rows to FILE.csv or FILE.parquet")] = None,
    json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Show labels, best first, or write them to a file."""
    opened = DeltaLabelStore(store)
    if opened.version() < 0:
        say(f"--store {store}: there is none yet")
    rows = opened.labels(task=task, space=space, data=data)
    rows = rows.take(pc.sort_indices(rows, sort_keys=[("value", "descending")]))
    if out is not None:
        _write(rows, out)
        say(f"{rows.num_rows} labels written to {out}")
    emit_rows(rows.select(_SHOWN).slice(0, limit).to_pylist(), json)


def _write(rows: pa.Table, out: Path) -> None:
    try:
        if out.suffix == ".parquet":
            pyarrow.parquet.write_table(rows, out)
        elif out.suffix == ".csv":
            pyarrow.csv.write_csv(_flat(rows), out)
        else:
            raise ConfigError(f"--out {out}: name a file that ends in .csv or .parquet")
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror or error}: name a file that can be written") from None


def _flat(rows: pa.Table) -> pa.Table:
    """CSV has no maps: they become JSON text."""
    for i, field in enumerate(rows.schema):
        if pa.types.is_map(field.type):
            text = [json_lib.dumps(dict(cell or [])) for cell in rows.column(i).to_pylist()]
            rows = rows.set_column(i, field.name, pa.array(text))
    return rows
