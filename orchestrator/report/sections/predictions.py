"""Predicted against measured labels of the hold-out, and the calibration of the intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from orchestrator.report.blocks import Block, Column, Figure, SectionBody, Table, Text
from orchestrator.report.comparable import HALF_WIDTH_90
from orchestrator.report.contents import ReportContents
from orchestrator.report.held_out import HeldOutSet
from orchestrator.report.plotting import FAINT, SERIES, Axes, draw_chart, plain
from orchestrator.report.section import Section
from predictor.evaluation.plots import LEVELS
from predictor.metadata import hold_out_to_json
from workers.latency.labels import TASK as LATENCY

_MAX_CHARTS = 6
_MAX_POINTS = 300  # of one chart
_MAX_INTERVALS = 150
_SCORES = (
    Column("set", "label set"),
    Column("tested", "labels"),
    Column("spearman", "rank correlation"),
    Column("flops", "of FLOPs"),
    Column("params", "of parameters"),
    Column("mae", "mean absolute error, points"),
    Column("coverage", "inside 90 % intervals"),
)
_POINTS = (Column("architecture"), Column("measured"), Column("predicted"), Column("interval", "± (90 %)"))


def _build(contents: ReportContents) -> SectionBody:
    held_out = contents.held_out
    if held_out.missing:
        return SectionBody(missing=held_out.missing)
    rows = [score_row(one) for one in held_out.sets]
    blocks: list[Block] = [
        Text(
            f"Generation {held_out.generation} predicts the labels that were held out when it was trained: a fixed "
            "tenth of the networks. FLOPs and parameters rank the same labels; near -1 they rank as well as near 1."
        ),
        Table("Scores on the hold-out", _SCORES, rows),
        *(_figure(one) for one in held_out.sets[:_MAX_CHARTS]),
    ]
    with_intervals = [one for one in held_out.sets if one.has_intervals]
    calibration = [_calibration_row(level, with_intervals) for level in LEVELS] if with_intervals else []
    if calibration:
        blocks.append(_calibration_figure(calibration, sum(len(one.labels) for one in with_intervals)))
    data = {"generation": held_out.generation, "sets": rows, "calibration": calibration}
    return SectionBody(blocks, data)


def score_row(one: HeldOutSet) -> dict[str, Any]:
    """Return the scores of a set, as in the generation's own report, and the rank correlations of its costs."""
    return {**hold_out_to_json((one.scores,))[0], "flops": one.flops, "params": one.params}


def _figure(one: HeldOutSet) -> Figure:
    labels, prediction = one.labels, one.prediction
    columns = labels.architectures.tolist(), labels.values.tolist(), prediction.mean.tolist()
    half = (HALF_WIDTH_90 * prediction.deviation).tolist() if one.has_intervals else [None] * len(labels)
    rows = [
        {"architecture": name, "measured": measured, "predicted": predicted, "interval": width}
        for name, measured, predicted, width in zip(*columns, half, strict=True)
    ][:_MAX_POINTS]
    description = (
        f"Scatter plot of predicted against measured labels of {len(rows)} held-out networks of {labels.name}. Rank "
        f"correlation {one.scores.spearman:.3f}."
    )
    if len(rows) < len(labels):
        description += f" The first {len(rows)} of {len(labels)} are drawn."
    table = Table(f"Predictions: {labels.name}", _POINTS, rows)
    svg = draw_chart(lambda axes: _draw(axes, rows, labels.task), description)
    return Figure(f"{labels.name}: predicted and measured", svg, description, (table,))


def _draw(axes: Axes, rows: Sequence[Mapping[str, Any]], task: str) -> None:
    measured, predicted = [row["measured"] for row in rows], [row["predicted"] for row in rows]
    bounds = [min(measured), max(measured)]
    axes.plot(bounds, bounds, color=FAINT, linewidth=0.8, label="equal")
    if len(rows) <= _MAX_INTERVALS and rows[0]["interval"] is not None:
        widths = [row["interval"] for row in rows]
        axes.errorbar(
            measured,
            predicted,
            yerr=widths,
            fmt="none",
            ecolor=SERIES[0],
            elinewidth=0.7,
            alpha=0.5,
            label="90 % interval",
        )
    axes.scatter(measured, predicted, s=12, color=SERIES[0], alpha=0.8, linewidths=0, label="network")
    unit = ", milliseconds" if task == LATENCY else ""
    axes.set_xlabel(plain(f"measured {task}{unit}"))
    axes.set_ylabel(plain(f"predicted {task}{unit}"))


def _calibration_row(level: float, sets: Sequence[HeldOutSet]) -> dict[str, float]:
    from scipy.stats import norm

    distances = [np.abs(one.prediction.mean - one.labels.values) / one.prediction.deviation for one in sets]
    inside = np.concatenate(distances) <= norm.ppf(0.5 + level / 2)
    return {"nominal": round(float(level), 2), "observed": float(inside.mean())}


def _calibration_figure(rows: Sequence[Mapping[str, float]], labels: int) -> Figure:
    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, label="calibrated")
        nominal, observed = [row["nominal"] for row in rows], [row["observed"] for row in rows]
        axes.plot(nominal, observed, color=SERIES[0], marker="o", markersize=3, label="predictor")
        axes.set_xlabel("nominal share of labels in the interval")
        axes.set_ylabel("observed share")
        axes.set(xlim=(0, 1), ylim=(0, 1))

    description = (
        f"Line chart of the observed against the nominal share of {labels} held-out labels inside an interval. Above "
        "the diagonal intervals are too wide, below too narrow."
    )
    columns = Column("nominal"), Column("observed")
    table = Table("Calibration of the intervals", columns, rows)
    return Figure("Calibration, all label sets", draw_chart(draw, description), description, (table,))


SECTION = Section("predictions", "Predicted and measured", _build)
