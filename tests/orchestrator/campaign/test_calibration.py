"""Estimates of full labels from cheap labels and costs."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.campaign.calibration import Floats, estimate_full_labels, leave_one_out, score
from orchestrator.predictors.ranking import rank_correlation


def _networks(count: int, seed: int) -> tuple[dict[str, list[float]], Floats]:
    """Return columns and full labels: quality and FLOPs both count, and the smoothed label shows quality with noise."""
    rng = np.random.default_rng(seed)
    quality, size = rng.normal(size=count), rng.normal(size=count)
    truth = 0.3 + 0.02 * quality + 0.01 * size + rng.normal(0, 0.005, count)
    columns = {"smoothed": 0.2 + 0.01 * quality + rng.normal(0, 0.005, count), "flops": np.exp(18 + size / 2)}
    return {name: list(map(float, column)) for name, column in columns.items()}, truth


def _rank(values: Floats, truth: Floats) -> float:
    return float(rank_correlation(values[None], truth[None])[0])


def test_label_and_flops_together_rank_better_than_each() -> None:
    columns, truth = _networks(400, 0)
    each = [_rank(np.array(columns[name]), truth) for name in ("smoothed", "flops")]
    assert _rank(score(columns), truth) > max(each) + 0.05


def test_a_proxy_counts_if_it_is_known() -> None:
    columns, truth = _networks(400, 0)
    assert _rank(score(columns | {"synflow": list(truth)}), truth) > _rank(score(columns), truth)


def test_equal_columns_do_not_count() -> None:
    columns, _ = _networks(20, 0)
    same = score({"smoothed": columns["smoothed"], "flops": [5e7] * 20})
    assert np.argsort(same).tolist() == np.argsort(columns["smoothed"]).tolist()


def test_the_deviation_covers_what_the_estimates_miss() -> None:
    covered, left_out = [], []
    for seed in range(60):
        columns, truth = _networks(112, seed)
        audited, scores = list(range(12)), score(columns)
        for found, wanted, shares in (
            (estimate_full_labels(scores, audited, truth[:12].tolist()), truth, covered),
            (leave_one_out(scores, audited, truth[:12].tolist()), truth[:12], left_out),
        ):
            inside = np.abs(found.mean - wanted) <= 1.645 * found.deviation
            shares.append(inside[12:].mean() if len(inside) > 12 else inside.mean())
    assert 0.87 <= np.mean(covered) <= 0.93  # 90 % intervals
    assert 0.87 <= np.mean(left_out) <= 0.93


def test_a_network_does_not_estimate_itself() -> None:
    columns, truth = _networks(12, 0)
    audited, scores = list(range(12)), score(columns)
    before = leave_one_out(scores, audited, truth.tolist()).mean[3]
    truth[3] += 1.0
    assert leave_one_out(scores, audited, truth.tolist()).mean[3] == pytest.approx(before)


def test_equal_labels_are_estimated_as_such() -> None:
    columns, _ = _networks(8, 0)
    estimate = estimate_full_labels(score(columns), range(8), [0.5] * 8)
    assert estimate.mean == pytest.approx([0.5] * 8)
    assert estimate.deviation == pytest.approx([0.0] * 8)
    flat = estimate_full_labels(np.zeros(8), range(8), [0.4, 0.6] * 4)
    assert flat.mean == pytest.approx([0.5] * 8)
