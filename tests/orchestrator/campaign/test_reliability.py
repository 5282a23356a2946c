"""Reliability against numbers worked out by hand, and against a simulation with known variances."""

import numpy as np
import pytest

from orchestrator.campaign.reliability import pivot, reliability


def test_agreeing_seeds_are_perfect_whatever_their_offset() -> None:
    values = np.array([[0.1, 0.2], [0.3, 0.4], [0.2, 0.3], [0.5, 0.6]])
    found = reliability(values)
    assert found is not None
    assert found.spearman == pytest.approx(1.0)
    assert found.variance_ratio is None or found.variance_ratio > 1e6  # but for rounding


def test_variance_ratio_is_that_of_the_simulation() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 2, (4000, 1)) + rng.normal(0, 1, (4000, 2)) + np.array([0.0, 7.0])
    found = reliability(values)
    assert found is not None
    assert found.variance_ratio == pytest.approx(4.0, rel=0.1)
    assert found.spearman == pytest.approx(0.79, abs=0.03)


def test_noise_is_called_noise() -> None:
    found = reliability(np.random.default_rng(1).normal(size=(4000, 3)))
    assert found is not None
    assert abs(found.spearman) < 0.05
    assert found.variance_ratio < 0.05


def test_equal_labels_have_no_rank() -> None:
    found = reliability(np.full((4, 2), 0.5))
    assert found is not None
    assert found.spearman is None
    assert found.variance_ratio is None


def test_too_little_gives_none_and_incomplete_architectures_are_left_out() -> None:
    assert reliability(np.ones((9, 1))) is None
    assert reliability(np.ones((2, 2))) is None
    table = pivot([("a", 0, 0.1), ("a", 1, 0.2), ("b", 0, 0.3), ("c", 1, 0.5), ("c", 0, 0.4)])
    assert table.tolist() == [[0.1, 0.2], [0.4, 0.5]]
