"""Estimates of full labels from cheap labels, costs and scores."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.campaign.calibration import estimate_full_labels, leave_one_out


def _networks(count: int, seed: int) -> tuple[dict[str, list[float]], list[float]]:
    """Return columns and full labels that depend on the logarithm of FLOPs and a latent quality, both with noise."""
    rng = np.random.default_rng(seed)
    quality, flops = rng.normal(size=count), np.exp(rng.normal(18, 0.5, count))
    truth = 0.3 + 0.02 * quality + 0.03 * (np.log(flops) - 18) + rng.normal(0, 0.005, count)
    columns = {"label": 0.2 + 0.01 * quality + rng.normal(0, 0.003, count), "flops": flops}
    return {name: list(map(float, column)) for name, column in columns.items()}, list(map(float, truth))


def test_costs_and_labels_together_are_closer_than_each() -> None:
    (audited, truth), (networks, wanted) = _networks(40, 0), _networks(200, 1)

    def error(names: list[str]) -> float:
        estimate = estimate_full_labels({n: audited[n] for n in names}, truth, {n: networks[n] for n in names})
        return float(np.abs(estimate.mean - wanted).mean())

    assert error(["label", "flops"]) < 0.8 * min(error(["label"]), error(["flops"]))


def test_the_deviation_covers_what_the_estimates_miss() -> None:
    covered = []
    for seed in range(20):
        (audited, truth), (networks, wanted) = _networks(12, seed), _networks(100, seed + 100)
        estimate = estimate_full_labels(audited, truth, networks)
        covered.append(np.abs(estimate.mean - wanted) < 1.645 * estimate.deviation)
    assert 0.82 <= np.mean(covered) <= 0.97  # 90 % intervals from twelve networks


def test_a_network_does_not_estimate_itself() -> None:
    columns, truth = _networks(12, 0)
    truth[3] += 1.0  # nothing else says so
    estimate = leave_one_out(columns, truth)
    assert estimate.mean.shape == (12,)
    assert abs(estimate.mean[3] - (truth[3] - 1.0)) < 0.1


def test_equal_labels_are_estimated_as_such() -> None:
    columns, _ = _networks(8, 0)
    assert estimate_full_labels(columns, [0.5] * 8, columns).mean == pytest.approx([0.5] * 8)
