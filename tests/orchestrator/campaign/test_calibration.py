"""Estimates of full labels by a line."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.campaign.calibration import Floats, estimate_full_labels, leave_one_out


def _labels(count: int, seed: int) -> tuple[Floats, Floats]:
    """Return cheap labels, and full labels that depend on them with noise."""
    rng = np.random.default_rng(seed)
    cheap = rng.normal(0.2, 0.01, count)
    return cheap, 0.3 + 2 * (cheap - 0.2) + rng.normal(0, 0.005, count)


def test_the_line_is_that_of_the_audited_networks() -> None:
    cheap, full = _labels(400, 0)
    estimate = estimate_full_labels(cheap, range(100), full[:100].tolist())
    slope = np.polyfit(cheap, estimate.mean, 1)[0]
    assert slope == pytest.approx(2, abs=0.15)
    assert float(np.abs(estimate.mean - full).mean()) < 0.005


def test_the_deviation_covers_what_the_estimates_miss() -> None:
    covered, left_out = [], []
    for seed in range(60):
        cheap, full = _labels(112, seed)
        audited, truth = list(range(12)), full[:12].tolist()
        found = estimate_full_labels(cheap, audited, truth)
        covered.append((np.abs(found.mean - full) <= 1.645 * found.deviation)[12:].mean())
        others = leave_one_out(cheap, audited, truth)
        left_out.append((np.abs(others.mean - full[:12]) <= 1.645 * others.deviation).mean())
    assert 0.87 <= np.mean(covered) <= 0.93  # 90 % intervals
    assert 0.87 <= np.mean(left_out) <= 0.93


def test_a_network_does_not_estimate_itself() -> None:
    cheap, full = _labels(12, 0)
    before = leave_one_out(cheap, range(12), full.tolist()).mean[3]
    full[3] += 1.0
    assert leave_one_out(cheap, range(12), full.tolist()).mean[3] == pytest.approx(before)


def test_equal_labels_are_estimated_as_such() -> None:
    cheap, _ = _labels(8, 0)
    estimate = estimate_full_labels(cheap, range(8), [0.5] * 8)
    assert estimate.mean == pytest.approx([0.5] * 8)
    assert estimate.deviation == pytest.approx([0.0] * 8)
    flat = estimate_full_labels(np.zeros(8), range(8), [0.4, 0.6] * 4)
    assert flat.mean == pytest.approx([0.5] * 8)
