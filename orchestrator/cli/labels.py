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

from orchestrator.cli.options import Json, Store
from orchestrator.cli.output import emit_rows, say
from orchestrator.cli.tables import Column
from orchestrator.errors import ConfigError
from orchestrator.store.delta import DeltaLabelStore
from predictor.errors import write_problem
from predictor.label_set import COSTS

_COLUMNS = (
    Column("architecture"),
    Column("space", rank=2),
    Column("task", rank=1),
    Column("data", rank=5),
    Column("recipe_name", "recipe", rank=4),
    Column("seed", rank=3),
    Column("metric", rank=2),
    Column("value"),
    Column("flops", "FLOPs"),
    Column("params", rank=1),
    Column("key", rank=6),
    Column("genotype", rank=7),
)


def labels(
    store: Store = "labels",
    task: Annotated[str | None, typer.Option(help="Only labels of this task.")] = None,
    space: Annotated[str | None, typer.Option(help="Only labels of this space.")] = None,
    data: Annotated[str | None, typer.Option(help="Only labels on this data set.")] = None,
    limit: Annotated[int, typer.Option(help="Number of rows to show, best first.", min=1)] = 20,
    out: Annotated[Path | None, typer.Option(help="Write all rows to FILE.csv or FILE.parquet.")] = None,
    json: Json = False,
) -> None:
    """Show labels, best first, or write them to a file."""
    opened = DeltaLabelStore(store)
    if opened.version() < 0:
        say(f"--store {store}: does not exist yet")
    columns = [column.key for column in _COLUMNS]
    rows = opened.labels(task=task, space=space, data=data, columns=columns if out is None else None)
    rows = _best_first(rows)
    if out is not None:
        _write(rows, out)
        say(f"{rows.num_rows} labels written to {out}")
    shown = rows.select(columns).slice(0, limit).to_pylist()
    emit_rows(shown, json, _COLUMNS)
    if not json and rows.num_rows > limit:
        say(f"{limit} of {rows.num_rows} labels shown: use --limit or --out for more")


def _best_first(rows: pa.Table) -> pa.Table:
    """The rows by value; of costs, such as latency, the lowest first."""
    value, are_costs = rows.column("value"), pc.is_in(rows.column("task"), value_set=pa.array(sorted(COSTS)))
    goodness = pc.if_else(are_costs, pc.negate(value), value)
    return rows.take(pc.sort_indices(goodness, sort_keys=[("", "descending")]))


def _write(rows: pa.Table, out: Path) -> None:
    try:
        if out.suffix == ".parquet":
            pyarrow.parquet.write_table(rows, out)
        elif out.suffix == ".csv":
            pyarrow.csv.write_csv(_without_maps(rows), out)
        else:
            raise ConfigError(f"--out {out}: name a file that ends in .csv or .parquet")
    except OSError as error:
        raise ConfigError(f"--out {out}: {write_problem(error, 'choose a writable file')}") from None


def _without_maps(rows: pa.Table) -> pa.Table:
    """The rows with maps as JSON text, because CSV has no maps."""
    for i, field in enumerate(rows.schema):
        if pa.types.is_map(field.type):
            text = [json_lib.dumps(dict(cell or [])) for cell in rows.column(i).to_pylist()]
            rows = rows.set_column(i, field.name, pa.array(text))
    return rows
