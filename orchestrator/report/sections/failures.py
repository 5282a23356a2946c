"""Attempts that failed, by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.report.blocks import Column, Figure, SectionBody, Table, Text
from orchestrator.report.contents import ReportContents
from orchestrator.report.plotting import SERIES, Axes, bars_height, draw_chart
from orchestrator.report.section import Section

_MAX_MESSAGE = 300
_COLUMNS = (
    Column("outcome", "kind"),
    Column("attempts"),
    Column("final", "given up"),
    Column("message", "last message"),
)


def _build(contents: ReportContents) -> SectionBody:
    counts = Counter(attempt["outcome"] for attempt in contents.attempts)
    if not counts:
        return SectionBody(missing="No attempts yet: `orchestrator label --task seg` makes some.")
    failed = [attempt for attempt in contents.attempts if attempt["outcome"] != "ok"]
    data = {"attempts": dict(counts)}
    text = f"{len(failed):,} of {len(contents.attempts):,} attempts gave no label."
    if not failed:
        return SectionBody((Text(text),), data)
    rows = [_row(kind, failed) for kind, _ in Counter(attempt["outcome"] for attempt in failed).most_common()]
    table = Table("Failed attempts", _COLUMNS, rows)
    description = "Bar chart of failed attempts by kind: " + ", ".join(
        f"{row['outcome']} {row['attempts']}" for row in rows
    )
    figure = Figure(
        "Failed attempts by kind",
        draw_chart(lambda axes: _draw(axes, rows), description, height=bars_height(len(rows))),
        description,
        (table,),
    )
    again = "Labels that were given up are tried again with `orchestrator label --retry-failed`."
    return SectionBody((Text(f"{text} {again}"), figure), data | {"kinds": rows})


def _row(kind: str, failed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """failed: attempts in the order of their start."""
    of_kind = [attempt for attempt in failed if attempt["outcome"] == kind]
    message = str(of_kind[-1]["message"])
    shown = message if len(message) <= _MAX_MESSAGE else message[:_MAX_MESSAGE] + "…"
    final = sum(attempt["final"] for attempt in of_kind)
    return {"outcome": kind, "attempts": len(of_kind), "final": final, "message": shown}


def _draw(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    axes.barh(range(len(rows)), [row["attempts"] for row in rows], color=SERIES[1], height=0.6)
    axes.set_yticks(range(len(rows)), [row["outcome"] for row in rows])
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("number of attempts")
    axes.set_ylabel("kind of failure")


SECTION = Section("failures", "Failures", _build)
