"""What the predictor pays attention to: operations, kernels and resolutions that go with high predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from orchestrator.predictors.ranking import known_rank_correlation
from orchestrator.report.blocks import Block, Column, Figure, SectionBody, Table, Text
from orchestrator.report.contents import ReportContents
from orchestrator.report.held_out import HeldOutSet
from orchestrator.report.plotting import FAINT, SERIES, Axes, bars_height, draw_chart
from orchestrator.report.section import Section
from predictor.features.statistics import STATISTICS
from predictor.label_set import Floats, LabelSet

_MAX_SETS = 4
_SHOWN = 10  # properties in a chart
_MIN_NETWORKS = 10
_COST = "log_flops"
_PROPERTIES = {
    _COST: "FLOPs",
    "log_params": "parameters",
    "depth": "depth",
    "joins": "joins of branches",
    "mean_width": "mean channels",
}
_COLUMNS = (
    Column("property"),
    Column("predicted", "with predictions"),
    Column("measured", "with labels"),
    Column("beyond_flops", "with predictions, at equal FLOPs"),
    Column("measured_beyond_flops", "with labels, at equal FLOPs"),
)
_EXPLANATION = (
    "Rank correlation of properties of a network with its prediction and with its label. A predictor that has learned "
    "the labels correlates alike with both. At equal FLOPs: the partial correlation, for what counts in addition to "
    "cost. Correlations are no causes, and properties of one space often go together."
)


def _build(contents: ReportContents) -> SectionBody:
    held_out = contents.held_out
    if held_out.missing:
        return SectionBody(missing=held_out.missing)
    sets = [one for one in held_out.sets if len(one.explained) >= _MIN_NETWORKS][:_MAX_SETS]
    found = {one.explained.name: property_correlations(one.explained, one.predicted) for one in sets}
    found = {name: rows for name, rows in found.items() if rows}
    if not found:
        return SectionBody(missing=f"No label set has {_MIN_NETWORKS} different networks: label more of one space.")
    blocks: list[Block] = [Text(_EXPLANATION)]
    blocks += [_figure(one, found[one.explained.name]) for one in sets if one.explained.name in found]
    return SectionBody(blocks, {"generation": held_out.generation, "sets": found})


def property_correlations(labels: LabelSet, predicted: Floats) -> list[dict[str, Any]]:
    """Return the correlations of each property that differs between the networks, the strongest first.

    predicted: (n,) predictions for the labels.
    """
    statistics, cost, rows = labels.statistics, labels.column(_COST), list[dict[str, Any]]()
    for place, statistic in enumerate(STATISTICS):
        name, column = _name(statistic), statistics[:, place]
        if name is None or np.ptp(column) == 0:
            continue
        row: dict[str, Any] = {"property": name, "predicted": known_rank_correlation(column, predicted)}
        row["measured"] = known_rank_correlation(column, labels.values)
        of_cost = statistic == _COST
        row["beyond_flops"] = None if of_cost else _partial(column, predicted, cost)
        row["measured_beyond_flops"] = None if of_cost else _partial(column, labels.values, cost)
        rows.append(row)
    return sorted(rows, key=lambda row: (-abs(row["predicted"] or 0.0), row["property"]))


def _name(statistic: str) -> str | None:
    """Return a property in words; None for statistics that no engineer thinks in."""
    if statistic.startswith("count_"):
        return f"number of {statistic.removeprefix('count_').replace('_', ' ')}"
    if statistic.startswith("kernel_"):
        side = statistic.removeprefix("kernel_")
        return f"number of {side}x{side} kernels"
    if statistic.startswith("level") and statistic.endswith("_log_flops"):
        return f"FLOPs at 1/{2 ** int(statistic[5])} of the image's side"
    return _PROPERTIES.get(statistic)


def _partial(first: Floats, second: Floats, given: Floats) -> float | None:
    """Return the partial rank correlation of two columns at equal ranks of a third; None if it is undefined."""
    pairs = (first, second), (first, given), (second, given)
    with_each_other, with_first, with_second = (known_rank_correlation(*pair) for pair in pairs)
    if with_each_other is None or with_first is None or with_second is None:
        return None
    scale = math.sqrt(max(0.0, 1 - with_first**2) * max(0.0, 1 - with_second**2))
    return (with_each_other - with_first * with_second) / scale if scale > 1e-6 else None


def _figure(one: HeldOutSet, rows: Sequence[Mapping[str, Any]]) -> Figure:
    name, shown = one.explained.name, list(rows[:_SHOWN])[::-1]
    strongest = rows[0]
    description = (
        f"Bar chart of the rank correlation of {len(shown)} properties with predictions and with labels of "
        f"{len(one.explained)} networks of {name}. Strongest: {strongest['property']}, {strongest['predicted']:.2f} "
        f"with predictions and {strongest['measured'] or 0.0:.2f} with labels."
    )

    def draw(axes: Axes) -> None:
        places = np.arange(len(shown))
        for shift, key, label in ((0.2, "predicted", "predictions"), (-0.2, "measured", "labels")):
            lengths = [row[key] or 0.0 for row in shown]
            axes.barh(places + shift, lengths, height=0.36, color=SERIES[0 if key == "predicted" else 1], label=label)
        axes.axvline(0, color=FAINT, linewidth=0.8)
        axes.set_yticks(places, [row["property"] for row in shown])
        axes.set_xlabel("rank correlation")
        axes.set_ylabel("property of the network")
        axes.set_xlim(-1, 1)

    table = Table(f"Properties: {name}", _COLUMNS, rows)
    svg = draw_chart(draw, description, height=bars_height(2 * len(shown)))
    return Figure(f"{name}: what goes with high values", svg, description, (table,))


SECTION = Section("attention", "What the predictor pays attention to", _build)
