"""The noise of labels between seeds, and the ceiling that it sets for every predictor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.campaign.reliability import pivot
from orchestrator.report.blocks import Block, Column, Figure, SectionBody, Table, Text
from orchestrator.report.comparable import ComparableLabels
from orchestrator.report.contents import ReportContents
from orchestrator.report.plotting import FAINT, SERIES, Axes, draw_chart, plain
from orchestrator.report.section import Section

_MAX_CHARTS = 4
_MAX_POINTS = 500  # of one chart
_MAX_ROWS = 100
_COLUMNS = (
    Column("title", "labels"),
    Column("architectures", "networks"),
    Column("seeds"),
    Column("spearman", "rank correlation of seeds"),
    Column("variance_ratio"),
    Column("deviation", "deviation between seeds"),
    Column("ceiling"),
    Column("ceiling_of_means", "ceiling for means"),
)
_EXPLANATION = (
    "Rank correlation of seeds: how equally two seeds rank the networks. Variance ratio: between networks over between "
    "seeds. Ceiling: the correlation that a perfect predictor would reach with labels of one seed, and with means over "
    "all seeds, if the noise is independent of the network; no predictor can be expected to exceed it."
)


def _build(contents: ReportContents) -> SectionBody:
    repeated = [group for group in contents.groups if group.statistics["reliability"]]
    if not repeated:
        return SectionBody(
            missing="No three networks have labels of several seeds: repeat some with `orchestrator label --repeat 2`."
        )
    repeated.sort(key=lambda group: -len(group.networks))
    rows = [_row(group) for group in repeated]
    total = len(rows) if len(rows) > _MAX_ROWS else None
    table = Table(
        "Reliability of labels", _COLUMNS, rows[:_MAX_ROWS], total, f"orchestrator status --store {contents.store}"
    )
    blocks: list[Block] = [Text(_EXPLANATION), table, *(_figure(group) for group in repeated[:_MAX_CHARTS])]
    return SectionBody(blocks, {"groups": rows})


def ceiling(variance_ratio: float | None, seeds: int = 1) -> float | None:
    """Return the correlation of a network's true value with its mean label over seeds; None if it is unknown.

    variance_ratio: variance between networks over variance between seeds; None if seeds agree exactly.
    """
    return None if variance_ratio is None else math.sqrt(variance_ratio / (variance_ratio + 1 / seeds))


def _row(group: ComparableLabels) -> dict[str, Any]:
    reliability: Mapping[str, Any] = group.statistics["reliability"]
    ratio = reliability["variance_ratio"]
    return {
        "group": group.name,
        "title": group.title,
        **reliability,
        "deviation": group.seed_deviation,
        "ceiling": ceiling(ratio),
        "ceiling_of_means": ceiling(ratio, reliability["seeds"]),
    }


def _figure(group: ComparableLabels) -> Figure:
    values = pivot([(row["architecture"], row["seed"], row["value"]) for row in group.rows])
    rows = [{"first": float(row[0]), "second": float(row[1])} for row in values[:_MAX_POINTS]]
    first, second = group.seeds[:2]
    names = Column("first", f"seed {first}"), Column("second", f"seed {second}")
    description = f"Scatter plot of {group.metric} of {len(rows)} networks with seed {second} against seed {first}."
    if len(values) > len(rows):
        description += f" The first {len(rows)} of {len(values)} networks are drawn."
    table = Table(f"Two seeds: {group.title}", names, rows)

    def draw(axes: Axes) -> None:
        _draw(axes, rows)
        axes.set_xlabel(plain(f"{group.metric}, seed {first}"))
        axes.set_ylabel(plain(f"{group.metric}, seed {second}"))

    return Figure(f"{group.title}: two seeds", draw_chart(draw, description), description, (table,))


def _draw(axes: Axes, rows: Sequence[Mapping[str, float]]) -> None:
    values = [value for row in rows for value in row.values()]
    bounds = [min(values), max(values)]
    axes.plot(bounds, bounds, color=FAINT, linewidth=0.8, label="equal")
    axes.scatter(
        [row["first"] for row in rows], [row["second"] for row in rows], s=12, color=SERIES[0], label="network"
    )


SECTION = Section("noise", "Noise and its ceiling", _build)
