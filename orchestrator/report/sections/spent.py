"""Time spent: by phase of the labels, and by outcome of the attempts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.number_text import duration
from orchestrator.report.blocks import Block, Column, Figure, SectionBody, Table, Text
from orchestrator.report.contents import ReportContents
from orchestrator.report.plotting import SERIES, Axes, bars_height, draw_chart, plain
from orchestrator.report.section import Section

_MAX_BARS = 16
_OTHER = "other phases"


def _build(contents: ReportContents) -> SectionBody:
    phases: dict[str, Counter[str]] = defaultdict(Counter)
    for row in contents.rows:
        for phase, seconds in row["seconds"]:
            phases[f"{row['task']}, {row['fidelity']}"][phase] += seconds
    outcomes = Counter[str]()
    for attempt in contents.attempts:
        outcomes[attempt["outcome"]] += attempt["seconds"]
    if not sum(outcomes.values()) and not phases:
        return SectionBody(
            missing="No label took time: all are imported; make some with `orchestrator label --task seg`."
        )
    names = sorted({phase for counter in phases.values() for phase in counter})
    rows = [{"labels": name, **{phase: counter[phase] for phase in names}} for name, counter in sorted(phases.items())]
    by_outcome = [{"outcome": outcome, "seconds": seconds} for outcome, seconds in outcomes.most_common()]
    lost = sum(seconds for outcome, seconds in outcomes.items() if outcome != "ok")
    text = f"All attempts took {duration(sum(outcomes.values()))} of workers; {duration(lost)} of it gave no label."
    tables = (
        Table("Seconds by phase", (Column("labels"), *(Column(name, f"{name}, s") for name in names)), rows),
        Table("Attempts by outcome", (Column("outcome"), Column("seconds", "time")), by_outcome),
    )
    blocks: list[Block] = [Text(text)]
    if rows:
        description = f"Stacked bars of the seconds that labels took, by phase: {', '.join(names)}."
        svg = draw_chart(
            lambda axes: _draw(axes, rows, names), description, height=bars_height(min(len(rows), _MAX_BARS))
        )
        blocks.append(Figure("Worker time by phase", svg, description, tables))
    else:
        blocks.append(tables[1])
    return SectionBody(blocks, {"seconds": dict(outcomes), "phases": {name: dict(by) for name, by in phases.items()}})


def _draw(axes: Axes, rows: Sequence[Mapping[str, Any]], phases: Sequence[str]) -> None:
    largest = sorted(rows, key=lambda row: -sum(row[phase] for phase in phases))[:_MAX_BARS]
    shown, others = phases[: len(SERIES) - 1], phases[len(SERIES) - 1 :]
    parts = [(phase, [row[phase] for row in largest]) for phase in shown]
    if others:
        parts.append((_OTHER, [sum(row[phase] for phase in others) for row in largest]))
    left = [0.0] * len(largest)
    for (name, seconds), colour in zip(parts, SERIES, strict=False):
        axes.barh(range(len(largest)), seconds, left=left, color=colour, label=plain(name), height=0.7)
        left = [start + more for start, more in zip(left, seconds, strict=True)]
    axes.set_yticks(range(len(largest)), [plain(str(row["labels"]), 26) for row in largest])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("seconds of workers")
    axes.set_ylabel("task, fidelity")


SECTION = Section("spent", "Time spent", _build)
