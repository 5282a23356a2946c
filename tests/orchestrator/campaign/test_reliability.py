"""Reliability against numbers computed by hand, and against a simulation with known variances."""

import numpy as np
import pytest

from orchestrator.campaign.reliability import mean_agreement, pivot, reliability, seeds_needed


def test_agreeing_seeds_are_perfectly_reliable_with_any_offset() -> None:
    values = np.array([[0.1, 0.2], [0.3, 0.4], [0.2, 0.3], [0.5, 0.6]])
    result = reliability(values)
    assert result is not None
    assert result.spearman == pytest.approx(1.0)
    assert result.variance_ratio is None or result.variance_ratio > 1e6  # only rounding errors remain


def test_variance_ratio_matches_the_simulation() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 2, (4000, 1)) + rng.normal(0, 1, (4000, 2)) + np.array([0.0, 7.0])
    result = reliability(values)
    assert result is not None
    assert result.variance_ratio == pytest.approx(4.0, rel=0.1)
    assert result.spearman == pytest.approx(0.79, abs=0.03)


def test_noise_has_no_reliability() -> None:
    result = reliability(np.random.default_rng(1).normal(size=(4000, 3)))
    assert result is not None
    assert abs(result.spearman) < 0.05
    assert result.variance_ratio < 0.05


def test_equal_labels_have_no_rank() -> None:
    result = reliability(np.full((4, 2), 0.5))
    assert result is not None
    assert result.spearman is None
    assert result.variance_ratio is None


def test_too_few_labels_give_none_and_incomplete_architectures_are_skipped() -> None:
    assert reliability(np.ones((9, 1))) is None
    assert reliability(np.ones((2, 2))) is None
    table = pivot([("a", 0, 0.1), ("a", 1, 0.2), ("b", 0, 0.3), ("c", 1, 0.5), ("c", 0, 0.4)])
    assert table.tolist() == [[0.1, 0.2], [0.4, 0.5]]


@pytest.mark.parametrize(("spearman", "seeds"), [(0.9, 1), (0.8, 1), (0.65, 3), (0.5, 4), (0.2, None), (-0.1, None)])
def test_seeds_needed_for_labels_that_mean_something(spearman: float, seeds: int | None) -> None:
    assert seeds_needed(spearman) == seeds


def test_agreement_of_means_matches_the_simulation() -> None:
    rng = np.random.default_rng(0)
    networks, noise = rng.normal(size=(4000, 1)), rng.normal(size=(4000, 6))
    labels = networks + noise
    single = reliability(labels)
    means = reliability(np.stack([labels[:, :3].mean(1), labels[:, 3:].mean(1)], axis=1))
    assert single is not None
    assert means is not None
    assert single.spearman is not None
    assert means.spearman == pytest.approx(mean_agreement(single.spearman, 3), abs=0.02)
