"""Estimates of full labels from cheap ones and graphs."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.campaign import calibration
from orchestrator.campaign.calibration import CheapLabels, estimate_full_labels, held_out_estimates
from orchestrator.predictors.ranking import rank_correlation
from predictor.features.statistics import STATISTICS
from predictor.label_set import PROXIES, Floats
from predictor.models.base import HALF_WIDTH_90

DEPTH = STATISTICS.index("depth")


def _labels(count: int, seed: int, bias: float = 0.0) -> tuple[CheapLabels, Floats]:
    """Return cheap labels, and full labels that depend on them with noise and a bias by depth."""
    rng = np.random.default_rng(seed)
    table = np.full((count, len(STATISTICS) + len(PROXIES)), np.nan)
    table[:, : len(STATISTICS)] = rng.normal(size=(count, len(STATISTICS)))
    cheap = rng.normal(0.2, 0.01, count)
    full = 0.3 + 2 * (cheap - 0.2) + bias * table[:, DEPTH] + rng.normal(0, 0.005, count)
    return CheapLabels(cheap, table), full


def test_estimates_follow_the_cheap_labels() -> None:
    cheap, full = _labels(112, 0)
    estimate = estimate_full_labels(cheap, range(12), full[:12].tolist())
    assert rank_correlation(estimate.mean[12:], full[12:]) > 0.9
    assert float(np.abs(estimate.mean - full)[12:].mean()) < 0.008


def test_the_line_is_that_of_the_audited_networks() -> None:
    cheap, full = _labels(400, 0)
    line = calibration._line(cheap.values, np.arange(100), full[:100])
    assert np.polyfit(cheap.values, line.mean, 1)[0] == pytest.approx(2, abs=0.15)
    assert float(np.abs(line.mean - full).mean()) < 0.005


def test_the_deviation_of_the_line_covers_what_it_misses() -> None:
    covered = []
    for seed in range(60):
        cheap, full = _labels(112, seed)
        line = calibration._line(cheap.values, np.arange(12), full[:12])
        covered.append((np.abs(line.mean - full) <= HALF_WIDTH_90 * line.deviation)[12:].mean())
    assert 0.87 <= np.mean(covered) <= 0.93  # 90 % intervals


def test_the_line_of_equal_labels_is_flat() -> None:
    known = np.arange(8)
    line = calibration._line(_labels(8, 0)[0].values, known, np.full(8, 0.5))
    assert line.mean == pytest.approx([0.5] * 8)
    assert line.deviation == pytest.approx([0.0] * 8)
    assert calibration._line(np.zeros(8), known, np.array([0.4, 0.6] * 4)).mean == pytest.approx([0.5] * 8)


def test_a_bias_that_graphs_explain_is_corrected() -> None:
    cheap, full = _labels(140, 0, bias=0.02)
    alone = rank_correlation(cheap.values[40:], full[40:])
    estimate = estimate_full_labels(cheap, range(40), full[:40].tolist())
    assert rank_correlation(estimate.mean[40:], full[40:]) > alone + 0.03


def test_intervals_hold_most_full_labels() -> None:
    covered, widths = [], []
    for seed in range(3):
        cheap, full = _labels(112, seed)
        found = estimate_full_labels(cheap, range(12), full[:12].tolist())
        error = np.abs(found.mean - full)[12:]
        covered.append((error <= HALF_WIDTH_90 * found.deviation[12:]).mean())
        widths.append(found.deviation[12:].mean() / np.sqrt((error**2).mean()))
    assert np.mean(covered) >= 0.85  # 90 % intervals
    assert np.mean(widths) <= 2


def test_a_network_does_not_estimate_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_GROUPS", 3)  # a fit takes a second
    cheap, full = _labels(12, 0)
    seen = list[tuple[int, int]]()
    found = held_out_estimates(cheap, range(12), full.tolist(), lambda *count: seen.append(count))
    before = found.mean[[0, 3, 6, 9]]
    full[3] += 1.0
    after = held_out_estimates(cheap, range(12), full.tolist()).mean[[0, 3, 6, 9]]
    assert after == pytest.approx(before)  # one group
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_equal_labels_are_estimated_as_such() -> None:
    cheap, _ = _labels(8, 0)
    assert estimate_full_labels(cheap, range(8), [0.5] * 8).mean == pytest.approx([0.5] * 8, abs=0.02)
    flat = CheapLabels(np.zeros(8), cheap.table)
    assert np.isfinite(estimate_full_labels(flat, range(8), [0.4, 0.6] * 4).mean).all()
