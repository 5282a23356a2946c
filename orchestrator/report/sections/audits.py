"""Cheap labels against labels of fidelity full, next to FLOPs and parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.campaign.summary import audit_summary
from orchestrator.report.blocks import Block, Column, Figure, SectionBody, Table, Text
from orchestrator.report.comparable import ComparableLabels
from orchestrator.report.contents import ReportContents
from orchestrator.report.plotting import SERIES, Axes, draw_chart, plain
from orchestrator.report.section import Section

_CHEAP = ("shared", "proxy")
_MAX_CHARTS = 4
_COLUMNS = (
    Column("title", "cheap labels"),
    Column("architectures", "networks"),
    Column("correlation", "rank correlation with full"),
    Column("correlation_low", "90 % from"),
    Column("correlation_high", "to"),
    Column("flops", "FLOPs instead"),
    Column("params", "parameters instead"),
    Column("cost_ratio", "full / cheap seconds"),
)


def _build(contents: ReportContents) -> SectionBody:
    rows, blocks = list[dict[str, Any]](), list[Block]()
    for cheap, full in _pairs(contents):
        summary = audit_summary([dict(row) for row in cheap.rows], [dict(row) for row in full.rows])
        if not summary:
            continue
        rows.append({"group": cheap.name, "full": full.name, "title": cheap.title, **summary, **_costs(summary)})
        if len(blocks) < _MAX_CHARTS:
            blocks.append(_figure(cheap, full))
    if not rows:
        return SectionBody(
            missing="No network has both a cheap label and one of fidelity full: label some with `orchestrator label "
            "--fidelity shared --audit 12`."
        )
    table = Table("Audits", _COLUMNS, rows)
    return SectionBody((Text(_EXPLANATION), table, *blocks), {"audits": rows})


_EXPLANATION = (
    "How cheap labels rank the networks that were also trained in full, with a 90 % bootstrap interval over networks. "
    "Cheap labels that rank no better than FLOPs or parameters are not worth their cost."
)


def _pairs(contents: ReportContents) -> Iterator[tuple[ComparableLabels, ComparableLabels]]:
    """Yield cheap labels with full ones of the same task, space and data."""
    for cheap in contents.groups:
        for full in contents.groups:
            same = (cheap.task, cheap.space, cheap.fingerprint) == (full.task, full.space, full.fingerprint)
            if cheap.fidelity in _CHEAP and full.fidelity == "full" and same:
                yield cheap, full


def _costs(summary: dict[str, Any]) -> dict[str, float | None]:
    return {cost: summary["ranks"].get(cost) for cost in ("flops", "params")}


def _figure(cheap: ComparableLabels, full: ComparableLabels) -> Figure:
    trained = {network.architecture: network.value for network in full.networks}
    both = [network for network in cheap.networks if network.architecture in trained]
    rows = [
        {"architecture": n.architecture, "anchor": n.anchor, "cheap": n.value, "full": trained[n.architecture]}
        for n in both
    ]
    columns = Column("architecture"), Column("cheap", f"{cheap.fidelity}"), Column("full")
    description = f"Scatter plot of {full.metric} after full training against the cheap label of {len(rows)} networks."

    def draw(axes: Axes) -> None:
        axes.scatter([row["cheap"] for row in rows], [row["full"] for row in rows], s=14, color=SERIES[0])
        axes.set_xlabel(plain(f"{cheap.metric}, fidelity {cheap.fidelity}"))
        axes.set_ylabel(plain(f"{full.metric}, fidelity full"))

    title = f"{cheap.title}: against full"
    return Figure(title, draw_chart(draw, description), description, (Table(title, columns, rows),))


SECTION = Section("audits", "Cheap labels against full ones", _build)
