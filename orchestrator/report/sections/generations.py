"""The predictor's generations: their hold-out scores, and the gate's decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.report.blocks import Block, Column, Figure, SectionBody, Table
from orchestrator.report.contents import ReportContents
from orchestrator.report.plotting import FAINT, SERIES, Axes, draw_chart
from orchestrator.report.section import Section

_Row = Mapping[str, Any]
_MAX_ROWS = 100
_COLUMNS = (
    Column("generation"),
    Column("used"),
    Column("made"),
    Column("version", "store version"),
    Column("labels", "labels (new ones of a refresh)"),
    Column("hold_out", "hold-out rank correlation"),
    Column("decision"),
    Column("gain"),
    Column("gain_low", "95 % from"),
    Column("gain_high", "to"),
    Column("reason"),
)
_NONE = "No predictor yet: train one with `orchestrator train`."


def _build(contents: ReportContents) -> SectionBody:
    if not contents.generations:
        return SectionBody(missing=_NONE)
    rows = [_row(row) for row in contents.generations]
    newest = rows[-_MAX_ROWS:]
    total = len(rows) if len(rows) > len(newest) else None
    table = Table("Generations and refused candidates", _COLUMNS, newest, total, "orchestrator generations")
    blocks: list[Block] = []
    if scored := [row for row in newest if row["hold_out"] is not None]:
        description = f"Hold-out rank correlation of {len(scored)} generations and refused candidates, by number."
        svg = draw_chart(lambda axes: _draw(axes, scored), description)
        blocks.append(Figure("Learning curve", svg, description, (table,)))
    else:
        blocks.append(table)
    return SectionBody(blocks, {"generations": rows})


def _row(row: _Row) -> dict[str, Any]:
    figures = row["figures"]
    gain = figures["pooled"]["candidate"] - figures["pooled"]["champion"] if figures else None
    return {
        **{name: row[name] for name in ("generation", "made", "version", "labels", "hold_out", "decision", "reason")},
        "used": "pinned" if row["pinned"] else "yes" if row["champion"] else "",
        "gain": gain,
        "gain_low": figures["low"] if figures else None,
        "gain_high": figures["high"] if figures else None,
    }


def _draw(axes: Axes, rows: Sequence[_Row]) -> None:
    used = [row for row in rows if row["decision"] != "keep"]
    refused = [row for row in rows if row["decision"] == "keep"]
    axes.plot([row["generation"] for row in used], [row["hold_out"] for row in used], color=FAINT, linewidth=0.8)
    for some, name, filled in ((used, "generation", SERIES[0]), (refused, "refused candidate", "none")):
        if some:
            places = [row["generation"] for row in some], [row["hold_out"] for row in some]
            axes.scatter(*places, s=26, facecolors=filled, edgecolors=SERIES[0 if filled != "none" else 1], label=name)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if len(rows) == 1:
        axes.set_xticks([rows[0]["generation"]])
    axes.set_xlabel("number of the generation")
    axes.set_ylabel("hold-out rank correlation")


SECTION = Section("generations", "Generations of the predictor", _build)
