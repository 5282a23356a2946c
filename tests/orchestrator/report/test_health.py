"""Health checks find what is wrong, and advise."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.report.contents import ReportContents
from orchestrator.report.held_out import HeldOutPredictions, HeldOutSet
from orchestrator.report.sections import health
from orchestrator.report.sections.noise import ceiling
from orchestrator.report.worker_time import busy_share
from orchestrator.store.schema import report_rows
from predictor.features.graph_pool import GraphPool
from predictor.label_set import LabelSet
from predictor.metadata import HoldOutScores
from predictor.models import Prediction
from tests.support.labelled_networks import network
from tests.support.reported_store import reports

Rows = list[dict[str, Any]]


def contents(rows: Rows, attempts: Rows | None = None) -> ReportContents:
    return ReportContents("labels", 1, rows, attempts or [], Path("none"), "")


def labels(change: Callable[[dict[str, Any], int], None] = lambda row, number: None) -> Rows:
    rows = [row for row in report_rows(reports()).labels if row["fidelity"] == "full"]
    for number, row in enumerate(rows):
        change(row, number)
    return rows


def test_noise() -> None:
    assert health.noise(contents(labels())).state == "good"

    def shuffle(row: dict[str, Any], number: int) -> None:
        row["value"] = (number * 7919 % 97) / 97

    noisy = health.noise(contents(labels(shuffle)))
    assert noisy.state == "warning"
    assert "seg, cells" in noisy.found
    assert "--repeat" in noisy.advice
    assert "--fidelity full" not in noisy.advice  # these labels are full

    def cheap(row: dict[str, Any], number: int) -> None:
        shuffle(row, number)
        row["fidelity"] = "shared"

    assert "--fidelity full" in health.noise(contents(labels(cheap))).advice
    once = health.noise(contents([row for row in labels() if row["seed"] == 0]))
    assert (once.state, "--repeat 2" in once.advice) == ("unknown", True)


def test_the_sample() -> None:
    assert health.sample(contents(labels())).state == "good"
    few = {row["architecture"] for row in labels()[:40]}
    small = health.sample(contents([row for row in labels() if row["architecture"] in few]))
    assert small.state == "warning"
    assert "--num 32" in small.advice

    def equal(row: dict[str, Any], number: int) -> None:
        row["flops"] = 1e9 + number

    assert "--sample stratified" in health.sample(contents(labels(equal))).advice


def test_saturation() -> None:
    assert health.saturation(contents(labels())).state == "good"

    def capped(row: dict[str, Any], number: int) -> None:
        row["value"] = min(row["value"], 0.5)

    assert health.saturation(contents(labels(capped))).state == "warning"


@pytest.mark.parametrize(("spearman", "state"), [(0.9, "good"), (0.5, "warning"), (0.7, "warning")])
def test_the_predictor(spearman: float, state: str) -> None:
    pool = GraphPool.of([network(number) for number in range(6)])
    names, places = np.array(list("abcdef")), np.arange(6)
    label_set = LabelSet("cells/seg/d", "cells", "seg", "d", names, np.linspace(0, 1, 6), places, pool)
    scores = HoldOutScores(set_name="cells/seg/d", task="seg", tested=6, spearman=spearman)
    one = HeldOutSet(label_set, Prediction.ranking(np.zeros(6)), scores, -0.7, None, label_set, np.zeros(6))
    read = contents(labels())
    object.__setattr__(read, "held_out", HeldOutPredictions(1, [one]))
    assert health.predictor(read).state == state
    assert health.predictor(contents(labels())).state == "unknown"


def attempts(spans: Sequence[tuple[float, float]], campaign: str = "c", task: str = "seg") -> Rows:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        {
            "campaign": campaign,
            "task": task,
            "started": first + timedelta(seconds=start),
            "seconds": end - start,
            "outcome": "ok",
        }
        for start, end in spans
    ]


def test_idle_workers() -> None:
    one_after_another = [(10.0 * number, 10.0 * number + 10) for number in range(8)]
    assert busy_share(attempts(one_after_another)) == pytest.approx(1.0)
    with_gaps = attempts([(10.0 * number, 10.0 * number + 4) for number in range(8)])
    assert busy_share(with_gaps) == pytest.approx(32 / 74)
    assert health.workers(contents(labels(), with_gaps)).state == "warning"
    two = attempts([*one_after_another, *one_after_another])
    assert busy_share(two) == pytest.approx(1.0)
    older = attempts([(start - 1000, end - 1000) for start, end in one_after_another], campaign="older")
    assert busy_share([*older, *with_gaps]) == pytest.approx(32 / 74)
    assert busy_share([*with_gaps, *attempts([(0.0, 74.0)], task="latency")]) == pytest.approx(32 / 74)
    assert busy_share(with_gaps[:7]) is None


def test_failed_attempts() -> None:
    tried = attempts([(0.0, 1.0)] * 10)
    assert health.failures(contents(labels(), tried)).state == "good"
    tried[0]["outcome"] = tried[1]["outcome"] = "crash"
    assert health.failures(contents(labels(), tried)).state == "warning"


def test_the_ceiling_is_the_correlation_with_true_values() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=200_000) * np.sqrt(2.0)
    seeds = true[:, None] + rng.normal(size=(200_000, 3))
    assert ceiling(2.0) == pytest.approx(np.corrcoef(true, seeds[:, 0])[0, 1], abs=0.01)
    assert ceiling(2.0, 3) == pytest.approx(np.corrcoef(true, seeds.mean(1))[0, 1], abs=0.01)
    assert ceiling(0.0) == 0.0
    assert ceiling(None) is None


def test_reports_have_all_checks() -> None:
    body = health.SECTION.build(contents(labels()))
    assert len(body.data["checks"]) == 6
    assert all(dataclasses.is_dataclass(block) for block in body.blocks)
