"""Labels by task and space."""

from __future__ import annotations

from collections import Counter
from typing import Any

from orchestrator.report.blocks import Column, Figure, SectionBody, Table, Text
from orchestrator.report.contents import ReportContents
from orchestrator.report.plotting import SERIES, Axes, bars_height, draw_chart, plain
from orchestrator.report.section import Section

MAX_GROUPS = 200
_MAX_BARS = 16
_FIDELITIES = ("full", "shared", "proxy", "published", "measured", "calibrated")
_COLUMNS = (
    Column("task"),
    Column("space"),
    Column("fidelity"),
    Column("data"),
    Column("recipe"),
    Column("metric"),
    Column("labels"),
    Column("networks"),
    Column("lowest"),
    Column("highest"),
)


def _build(contents: ReportContents) -> SectionBody:
    if not contents.groups:
        return SectionBody(missing="No labels yet: make some with `orchestrator label --task seg`, or import some.")
    rows = [_row(group) for group in contents.groups]
    rows.sort(key=lambda row: (row["task"], -row["labels"]))
    shown = rows[:MAX_GROUPS]
    total = len(rows) if len(rows) > len(shown) else None
    rest = f"orchestrator status --store {contents.store}"
    table = Table("Labels by task, space and recipe", _COLUMNS, shown, total, rest)
    bars, left_out = _bars(contents)
    description = "Bar chart of the number of labels of each task and space, by fidelity."
    note = f" The {left_out} smallest pairs of task and space are in the table only." if left_out else ""
    figure = Figure(
        "Number of labels",
        draw_chart(lambda axes: _draw(axes, bars), description, height=bars_height(len(bars))),
        description + note,
        (table,),
    )
    count = f"{len(contents.rows):,} labels of {len({row['architecture'] for row in contents.rows}):,} networks."
    return SectionBody((Text(count), figure), {"labels": len(contents.rows), "groups": rows})


def _row(group: Any) -> dict[str, Any]:
    return {
        "group": group.name,
        "task": group.task,
        "space": group.space,
        "fidelity": group.fidelity,
        "data": group.data,
        "recipe": group.recipe_name,
        "metric": group.metric,
        "networks": len(group.networks),
        **{name: group.statistics[name] for name in ("labels", "lowest", "highest", "reliability")},
    }


def _bars(contents: ReportContents) -> tuple[list[tuple[str, Counter[str]]], int]:
    """Return names and labels by fidelity of the largest pairs of task and space, and the number of other pairs."""
    counts: dict[str, Counter[str]] = {}
    for group in contents.groups:
        counts.setdefault(f"{group.task}, {group.space}", Counter())[group.fidelity] += len(group.rows)
    largest = sorted(counts.items(), key=lambda item: -item[1].total())
    return largest[:_MAX_BARS], len(largest[_MAX_BARS:])


def _draw(axes: Axes, bars: list[tuple[str, Counter[str]]]) -> None:
    names = [plain(name, 26) for name, _ in bars]
    left = [0] * len(bars)
    for fidelity, colour in zip(_FIDELITIES, SERIES, strict=False):
        counts = [by_fidelity[fidelity] for _, by_fidelity in bars]
        if any(counts):
            axes.barh(range(len(bars)), counts, left=left, color=colour, label=fidelity, height=0.7)
            left = [start + count for start, count in zip(left, counts, strict=True)]
    axes.set_yticks(range(len(bars)), names)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("number of labels")
    axes.set_ylabel("task, space")


SECTION = Section("labels", "Labels by task and space", _build)
