"""Answers put together: a row a target, split, number of labels and model; means over seeds, with intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from predictor.evaluation.metrics import Scores, bootstrap_interval
from predictor.evaluation.protocol import Answer, Labels

_METRICS = tuple(field.name for field in fields(Scores))
_HEADER = ("target", "split", "labels", "model", "Spearman", "Kendall", "MAE, points", "regret", "coverage", "asked")


def summarise(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """One dictionary a cell: its names, the mean of each metric over seeds, and the interval of the rank correlation.

    A figure that does not exist (see `Scores`) is None.
    """
    cells: dict[tuple[str, str, Labels, str], list[Answer]] = defaultdict(list)
    for one in answers:
        cells[one.target, one.split, one.labels, one.model].append(one)
    rows = []
    for (target, split, labels, model), found in cells.items():
        metrics = {name: np.array([asdict(one.scores)[name] for one in found]) for name in _METRICS}
        low, high = bootstrap_interval(metrics["spearman"])
        means = {name: _number(values.mean()) for name, values in metrics.items()}
        row = {"target": target, "split": split, "labels": labels, "model": model, "seeds": len(found)}
        rows.append(row | {"asked": found[0].asked} | means | {"spearman_low": low, "spearman_high": high})
    return rows + _over_targets(rows)


def _over_targets(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each split, number of labels and model that all targets have, their mean, and its interval over targets."""
    targets = {row["target"] for row in rows}
    cells: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        cells[row["split"], row["labels"], row["model"]].append(row)
    found = []
    for (split, labels, model), some in cells.items():
        if len(some) < len(targets) or len(targets) < 2:
            continue
        metrics = {name: np.array([row[name] for row in some], np.float64) for name in _METRICS}
        low, high = bootstrap_interval(metrics["spearman"])
        means = {name: _number(values.mean()) for name, values in metrics.items()}
        row = {"target": f"mean of {len(targets)}", "split": split, "labels": labels, "model": model}
        row |= {"seeds": some[0]["seeds"], "asked": sum(one["asked"] for one in some)}
        found.append(row | means | {"spearman_low": low, "spearman_high": high})
    return found


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The summary as a table; the best rank correlation of each cell is bold."""
    best: dict[tuple[Any, ...], float] = defaultdict(lambda: -1.0)
    for row in rows:
        best[_cell(row)] = max(best[_cell(row)], row["spearman"])
    lines = ["| " + " | ".join(_HEADER) + " |", "|" + "---|" * len(_HEADER)]
    for row in rows:
        rho = f"{row['spearman']:.3f} ({row['spearman_low']:.3f} to {row['spearman_high']:.3f})"
        cells = [
            *(str(row[name]) for name in ("target", "split", "labels", "model")),
            f"**{rho}**" if row["spearman"] == best[_cell(row)] else rho,
            f"{row['kendall']:.3f}",
            *("-" if row[name] is None else f"{row[name]:.2f}" for name in ("mae", "regret", "coverage")),
            str(row["asked"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["target"], row["split"], row["labels"]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
