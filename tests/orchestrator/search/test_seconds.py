"""Predicted seconds."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.search.seconds import predicted_seconds

FLOPS = np.array([1e6, 2e6, 4e6, 8e6, 16e6])


def test_a_power_of_flops_is_found() -> None:
    seconds = predicted_seconds(np.array([3e6, 1e9, 1.0]), FLOPS, 2e-6 * FLOPS)
    assert seconds == pytest.approx([6, 32, 2])  # FLOPs outside the known range count as its ends


def test_seconds_that_fall_with_flops_are_taken_as_equal() -> None:
    assert predicted_seconds(FLOPS, FLOPS, 1 / FLOPS) == pytest.approx(np.full(5, 2.5e-7))


@pytest.mark.parametrize("seconds", [np.ones(4), np.array([1.0, 1, 1, 1, 0])])
def test_too_few_labels(seconds: np.ndarray) -> None:
    assert predicted_seconds(FLOPS, FLOPS[: len(seconds)], seconds) is None
