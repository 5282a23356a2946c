"""Answers as pictures: predicted against measured, and how often an interval holds what was measured."""

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

from predictor.evaluation.protocol import Answer, Labels
from predictor.label_set import Floats

LEVELS = np.linspace(0.05, 0.95, 19)  # of intervals, nominal
_COLUMNS = 4
_SIDE = 2.6  # inches a panel
_DOTS = 600  # a panel, of all seeds together


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw_plots(answers: Sequence[Answer], report: Path) -> list[Path]:
    """PNG files beside the report, one a target and split: its models in panels, and their calibration in the last.

    Of several numbers of known labels the last one asked about. A picture is left out where all models only rank.
    """
    cells: dict[tuple[str, str], dict[str, list[Answer]]] = defaultdict(lambda: defaultdict(list))
    last: dict[tuple[str, str], Labels] = {(one.target, one.split): one.labels for one in answers}
    for one in answers:
        if one.labels == last[one.target, one.split] and np.isfinite(one.prediction.deviation).all():
            cells[one.target, one.split][one.model].append(one)
    drawn = []
    for (target, split), models in cells.items():
        path = report.with_name(f"{report.stem}-{_safe(target)}-{split}.png")
        title = f"{target}, by {split}, {last[target, split]} known labels"
        _figure(models, title).savefig(path, dpi=110)
        drawn.append(path)
    return drawn


def coverage(answers: Sequence[Answer]) -> Floats:
    """(len(LEVELS),) share of the labels that lie in the interval which should hold that share, over all answers."""
    missed = np.concatenate([np.abs(one.prediction.mean - one.measured) for one in answers])
    deviation = np.concatenate([one.prediction.deviation for one in answers])
    found: Floats = (missed[:, None] <= deviation[:, None] * norm.ppf(0.5 + LEVELS / 2)).mean(axis=0)
    return found


def _figure(models: dict[str, list[Answer]], title: str) -> Any:
    rows = math.ceil((len(models) + 1) / _COLUMNS)
    columns = min(_COLUMNS, len(models) + 1)
    size = (_SIDE * columns, _SIDE * rows + 0.4)
    figure: Any = importlib.import_module("matplotlib.figure").Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=10)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    measured = np.concatenate([one.measured for one in next(iter(models.values()))])
    margin = 0.08 * float(np.ptp(measured) or 1.0)
    bounds = float(measured.min() - margin), float(measured.max() + margin)
    for panel, (name, found) in zip(panels, models.items(), strict=False):
        _predicted(panel, name, found, bounds)
    _calibration(panels[len(models)], models)
    for panel in panels[len(models) + 1 :]:
        panel.set_axis_off()
    return figure


def _predicted(panel: Any, name: str, found: Sequence[Answer], bounds: tuple[float, float]) -> None:
    """Dots beyond the measured range stay at its edge."""
    measured = np.concatenate([one.measured for one in found])
    predicted = np.concatenate([one.prediction.mean for one in found])
    some = np.random.default_rng(0).permutation(len(measured))[:_DOTS]
    panel.plot(bounds, bounds, color="0.6", linewidth=0.8)
    panel.scatter(measured[some], np.clip(predicted[some], *bounds), s=5, alpha=0.4, linewidths=0)
    panel.set(xlim=bounds, ylim=bounds, aspect="equal")
    panel.set_title(f"{name}, Spearman {np.mean([one.scores.spearman for one in found]):.2f}", fontsize=8)
    _label(panel, "measured", "predicted")


def _calibration(panel: Any, models: dict[str, list[Answer]]) -> None:
    panel.plot((0, 1), (0, 1), color="0.6", linewidth=0.8)
    for number, (name, found) in enumerate(models.items()):
        panel.plot(LEVELS, coverage(found), label=name, linewidth=1, linestyle=("-", "--", ":")[number // 10 % 3])
    panel.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    panel.set_title("calibration", fontsize=8)
    panel.legend(fontsize=5, loc="lower right")
    _label(panel, "share that an interval should hold", "share that it holds")


def _label(panel: Any, below: str, beside: str) -> None:
    panel.set_xlabel(below, fontsize=7)
    panel.set_ylabel(beside, fontsize=7)
    panel.tick_params(labelsize=6)


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
