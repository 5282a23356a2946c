"""Plots of answers: predicted against measured labels, and the calibration of the intervals."""

from __future__ import annotations

import importlib
import math
from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from predictor.evaluation.protocol import Answer, SupportSize
from predictor.label_set import Floats

LEVELS = np.linspace(0.05, 0.95, 19)  # nominal levels of the intervals
_COLUMNS = 4
_PANEL_INCHES = 2.6
_MAX_DOTS = 600  # per panel, over all seeds


def can_plot() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw_plots(answers: Sequence[Answer], report: Path) -> list[Path]:
    """Write a PNG file per target and split next to the report: a panel per model, and one for their calibration.

    Plotted are the answers with the last number of known labels. A plot whose models all only rank is skipped.
    """
    cells: dict[tuple[str, str], dict[str, list[Answer]]] = defaultdict(lambda: defaultdict(list))
    plotted: dict[tuple[str, str], SupportSize] = {
        (answer.target, answer.split): answer.support_size for answer in answers
    }
    for answer in answers:
        is_plotted = answer.support_size == plotted[answer.target, answer.split]
        if is_plotted and np.isfinite(answer.prediction.deviation).all():
            cells[answer.target, answer.split][answer.model].append(answer)
    paths = []
    for (target, split), models in cells.items():
        path = report.with_name(f"{report.stem}-{_file_name(target)}-{split}.png")
        title = f"{target}, by {split}, {plotted[target, split]} known labels"
        _figure(models, title).savefig(path, dpi=110)
        paths.append(path)
    return paths


def interval_coverage(answers: Sequence[Answer]) -> Floats:
    """Return (len(LEVELS),) shares of the labels inside the intervals of each nominal level, over all answers."""
    errors = np.concatenate([np.abs(answer.prediction.mean - answer.measured) for answer in answers])
    deviation = np.concatenate([answer.prediction.deviation for answer in answers])
    shares: Floats = (errors[:, None] <= deviation[:, None] * norm.ppf(0.5 + LEVELS / 2)).mean(axis=0)
    return shares


def _figure(models: dict[str, list[Answer]], title: str) -> Any:
    """Return the figure of one target and split. models: the answers of each model."""
    rows = math.ceil((len(models) + 1) / _COLUMNS)
    columns = min(_COLUMNS, len(models) + 1)
    size = (_PANEL_INCHES * columns, _PANEL_INCHES * rows + 0.4)
    figure: Any = importlib.import_module("matplotlib.figure").Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=10)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    measured = np.concatenate([answer.measured for answer in next(iter(models.values()))])
    margin = 0.08 * float(np.ptp(measured) or 1.0)
    bounds = float(measured.min() - margin), float(measured.max() + margin)
    for panel, (name, answers) in zip(panels, models.items(), strict=False):
        _plot_predictions(panel, name, answers, bounds)
    _plot_calibration(panels[len(models)], models)
    for panel in panels[len(models) + 1 :]:
        panel.set_axis_off()
    return figure


def _plot_predictions(panel: Any, name: str, answers: Sequence[Answer], bounds: tuple[float, float]) -> None:
    """Plot predicted against measured labels. Predictions outside `bounds` are drawn at the edge."""
    measured = np.concatenate([answer.measured for answer in answers])
    predicted = np.concatenate([answer.prediction.mean for answer in answers])
    dots = np.random.default_rng(0).permutation(len(measured))[:_MAX_DOTS]
    panel.plot(bounds, bounds, color="0.6", linewidth=0.8)
    panel.scatter(measured[dots], np.clip(predicted[dots], *bounds), s=5, alpha=0.4, linewidths=0)
    panel.set(xlim=bounds, ylim=bounds, aspect="equal")
    panel.set_title(f"{name}, Spearman {np.mean([answer.scores.spearman for answer in answers]):.2f}", fontsize=8)
    _label_axes(panel, "measured", "predicted")


def _plot_calibration(panel: Any, models: dict[str, list[Answer]]) -> None:
    """Plot the observed against the nominal coverage of the intervals, a line per model."""
    panel.plot((0, 1), (0, 1), color="0.6", linewidth=0.8)
    for number, (name, answers) in enumerate(models.items()):
        style = ("-", "--", ":")[number // 10 % 3]
        panel.plot(LEVELS, interval_coverage(answers), label=name, linewidth=1, linestyle=style)
    panel.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    panel.set_title("calibration", fontsize=8)
    panel.legend(fontsize=5, loc="lower right")
    _label_axes(panel, "nominal coverage", "observed coverage")


def _label_axes(panel: Any, x_label: str, y_label: str) -> None:
    panel.set_xlabel(x_label, fontsize=7)
    panel.set_ylabel(y_label, fontsize=7)
    panel.tick_params(labelsize=6)


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
