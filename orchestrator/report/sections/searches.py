"""Searches: what was asked, the front of each, and the verified networks against the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.number_text import human
from orchestrator.report.blocks import Block, Column, Figure, SectionBody, Table, Text
from orchestrator.report.contents import ReportContents
from orchestrator.report.plotting import SERIES, Axes, draw_chart, plain, use_amounts
from orchestrator.report.section import Section

_MAX_CHARTS = 4
_VERIFIED = (
    Column("genotype", "architecture"),
    Column("task"),
    Column("flops", "FLOPs"),
    Column("params", "parameters"),
    Column("value", "label in the search"),
    Column("verified"),
    Column("difference", "difference to the reference"),
    Column("low", "90 % from"),
    Column("high", "to"),
    Column("verdict"),
)
_FRONT = (
    Column("genotype", "architecture"),
    Column("value"),
    Column("expected"),
    Column("flops", "FLOPs"),
    Column("params", "parameters"),
    Column("latency", "latency, ms"),
)
_EXPLANATION = (
    "Verified networks were trained with a higher fidelity and the same seeds as the reference. The difference is "
    "taken seed by seed; \u201cno worse\u201d means that its interval contains 0."
)


def _build(contents: ReportContents) -> SectionBody:
    if not contents.searches:
        return SectionBody(
            missing="Nothing was searched for: `orchestrator search --task seg --max-flops 60%` finds the best "
            "networks within a limit."
        )
    blocks: list[Block] = [Text(_EXPLANATION)]
    for number, found in enumerate(contents.searches):
        blocks.append(Text(_summary(found)))
        if rows := verified_rows(found):
            blocks.append(Table(f"Search {found['search']}: verified networks", _VERIFIED, rows))
        if number < _MAX_CHARTS and found["front"]:
            blocks.append(_figure(found))
    return SectionBody(tuple(blocks), {"searches": contents.searches})


def verified_rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each verified network and task of a search."""
    return [
        {**{name: row[name] for name in ("genotype", "flops", "params")}, "task": task, "value": row["values"][task]}
        | {name: compared[name] for name in ("difference", "low", "high", "verdict")}
        | {"verified": compared["value"]}
        for row in found["verified"]
        for task, compared in row["verified"].items()
    ]


def _summary(found: Mapping[str, Any]) -> str:
    """Return one search in a few sentences."""
    limits = ", ".join(f"{name} at most {human(name, amount)}" for name, amount in found["limits"].items())
    text = f"Search {found['search']}: {found['task']} on {found['data']}, space {found['space']}, "
    text += f"{limits or 'no limits'}. {found['labels']} networks labelled in {human('seconds', found['seconds'])}."
    if found["winner"]:
        text += f" Winner: {found['winner']['genotype']} with {human('flops', found['winner']['flops'])} FLOPs"
        if found["reference"]:
            share = found["winner"]["flops"] / found["reference"]["flops"]
            text += f", {share:.0%} of the reference"
        text += "."
    return text + (f" It ended early: {found['problem']}." if found["problem"] else "")


def _figure(found: Mapping[str, Any]) -> Figure:
    axis, rows = found["axis"], [row for row in found["front"] if found["axis"] in row]
    what = {"flops": "FLOPs of one image", "params": "parameters", "latency": "latency, milliseconds"}[axis]
    description = f"Front of {len(rows)} networks of search {found['search']}: label against {what}."
    reference = found["reference"]

    def draw(axes: Axes) -> None:
        # Searches of earlier versions recorded a front by labels.
        points = [row[axis] for row in rows], [row.get("expected", row["value"]) for row in rows]
        axes.step(*points, where="post", color=SERIES[0])
        axes.scatter(*points, s=14, color=SERIES[0], label="front")
        amounts = [row[axis] for row in rows]
        if reference and axis in reference:
            axes.scatter([reference[axis]], [reference["value"]], s=24, marker="x", color=SERIES[1], label="reference")
            amounts.append(reference[axis])
        axes.set_xlabel(what)
        axes.set_ylabel(plain(f"expected label, {found['task']}"))
        use_amounts(axes, amounts)

    title = f"Search {found['search']}: front"
    table = Table(title, _FRONT, rows)
    return Figure(title, draw_chart(draw, description), description, (table,))


SECTION = Section("searches", "Searches", _build)
