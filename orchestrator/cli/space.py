"""`orchestrator space`: list the search spaces, and check one of them or one's own before labels are made."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.options import InputSize, Json, parse_input_size
from orchestrator.cli.output import emit, emit_rows

app = typer.Typer(help="List the search spaces; check one of them, or your own.", add_completion=False)


@app.callback(invoke_without_command=True)
def space(ctx: typer.Context, json: Json = False) -> None:
    """List the search spaces; check one of them, or your own."""
    ctx.obj = json
    if ctx.invoked_subcommand is None:
        from workers.spaces import get_space, space_names  # loads torch, which takes seconds

        spaces = [get_space(name) for name in space_names()]
        rows = [{"space": s.name, "shares_weights": bool(s.covering_architectures())} for s in spaces]
        emit_rows(rows, json)


@app.command("check")
def check(
    ctx: typer.Context,
    space: Annotated[str, typer.Argument(help="YAML file that declares a space, or the name of a space.")],
    num: Annotated[int, typer.Option(help="Number of sampled networks to check.", min=1)] = 8,
    seed: Annotated[int, typer.Option(help="Seed of sampling.", min=0)] = 0,
    size: InputSize = "224",
    json: Json = False,
) -> None:
    """Build, run and trace sampled networks of a space, and show its size and costs. Exit code 1 if a check fails."""
    _, *image = parse_input_size(size)
    # Torch takes seconds to load; --help and a wrong size do without.
    from workers.spaces import open_space
    from workers.spaces.contract import check_space
    from workers.spaces.declared import DeclaredSpace

    opened = open_space(space)
    report = check_space(opened, num, seed, (image[0], image[1]))
    costs = {}
    for name, choose in (("lowest", min), ("highest", max)):
        if report.costs:
            costs[name] = {key: choose(getattr(cost, key) for cost in report.costs) for key in ("flops", "params")}
    emit(
        {
            "space": opened.name,
            "declaration": opened.declaration.hash if isinstance(opened, DeclaredSpace) else None,
            "genotypes": opened.size,
            "strides": [list(strides) for strides in sorted(report.strides)],
            "checked": report.architectures,
            "passed": report.passed,
            "checks": [
                {"check": r.check, "result": "failed" if r.problem else "passed", "problem": r.problem}
                for r in report.results
            ],
            "costs": costs,
        },
        json or ctx.obj,
    )
    raise typer.Exit(0 if report.passed else 1)
