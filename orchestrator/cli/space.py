"""`orchestrator space`: check a search space, one's own or a registered one, before labels are made."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.options import InputSize, Json, parse_input_size
from orchestrator.cli.output import emit

app = typer.Typer(help="Check search spaces.", add_completion=False, no_args_is_help=True)


@app.callback()
def space() -> None:
    """Check search spaces."""


@app.command("check")
def check(
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
        json,
    )
    raise typer.Exit(0 if report.passed else 1)
