"""Summary of answers: a row for each target, split, number of known labels and model, with means over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from predictor.evaluation.families import spearman_within
from predictor.evaluation.metrics import Scores, bootstrap_interval
from predictor.evaluation.protocol import Answer, SupportSize

_METRICS = tuple(field.name for field in fields(Scores))
_HEADER = ("target", "split", "labels", "model", "Spearman", "Kendall", "MAE, points", "regret", "coverage", "asked")


def summarise(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Return one row per cell: its names, the mean of each metric over seeds, and the interval of the rank correlation.

    The column "labels" is the number of known labels and "asked" the number of predicted ones. A metric that does not
    exist (see `Scores`) is None. The last rows are means over targets. Rows of the split by family also have
    "spearman_within", the mean rank correlation inside families of three or more; None if there are none.
    """
    cells: dict[tuple[str, str, SupportSize, str], list[Answer]] = defaultdict(list)
    for answer in answers:
        cells[answer.target, answer.split, answer.support_size, answer.model].append(answer)
    rows = []
    for (target, split, support_size, model), cell in cells.items():
        metrics = {name: np.array([asdict(answer.scores)[name] for answer in cell]) for name in _METRICS}
        row: dict[str, Any] = {"target": target, "split": split, "labels": support_size, "model": model}
        row |= {"seeds": len(cell), "asked": cell[0].query_size} | _means(metrics)
        if cell[0].families is not None:
            row["spearman_within"] = _finite_or_none(float(np.mean([spearman_within(answer) for answer in cell])))
        rows.append(row)
    return rows + _means_over_targets(rows)


def _means_over_targets(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the means over targets, for each split, number of labels and model that all targets have."""
    targets = {row["target"] for row in rows}
    cells: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        cells[row["split"], row["labels"], row["model"]].append(row)
    means = []
    for (split, labels, model), cell in cells.items():
        if len(cell) < len(targets) or len(targets) < 2:
            continue
        metrics = {name: np.array([row[name] for row in cell], np.float64) for name in _METRICS}
        row = {"target": f"mean of {len(targets)}", "split": split, "labels": labels, "model": model}
        row |= {"seeds": cell[0]["seeds"], "asked": sum(row["asked"] for row in cell)}
        means.append(row | _means(metrics))
    return means


def _means(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the mean of every metric, None if it is not finite, and the interval of the rank correlation."""
    low, high = bootstrap_interval(metrics["spearman"])
    means = {name: _finite_or_none(values.mean()) for name, values in metrics.items()}
    return means | {"spearman_low": low, "spearman_high": high}


def to_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the summary as a table, with the best rank correlation of each cell in bold."""
    best: dict[tuple[Any, ...], float] = defaultdict(lambda: -1.0)
    for row in rows:
        best[_cell(row)] = max(best[_cell(row)], row["spearman"])
    lines = ["| " + " | ".join(_HEADER) + " |", "|" + "---|" * len(_HEADER)]
    for row in rows:
        spearman = f"{row['spearman']:.3f} ({row['spearman_low']:.3f} to {row['spearman_high']:.3f})"
        columns = [
            *(str(row[name]) for name in ("target", "split", "labels", "model")),
            f"**{spearman}**" if row["spearman"] == best[_cell(row)] else spearman,
            f"{row['kendall']:.3f}",
            *("-" if row[name] is None else f"{row[name]:.2f}" for name in ("mae", "regret", "coverage")),
            str(row["asked"]),
        ]
        lines.append("| " + " | ".join(columns) + " |")
    return "\n".join(lines) + "\n"


def _cell(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["target"], row["split"], row["labels"]


def _finite_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
