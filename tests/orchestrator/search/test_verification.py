"""Verified networks against the reference."""

from __future__ import annotations

import math

import pytest

from orchestrator.search.verification import compare


def test_differences_are_taken_seed_by_seed() -> None:
    found = compare({"a": {0: 0.52, 1: 0.42}, "b": {0: 0.45, 1: 0.35}}, {0: 0.50, 1: 0.40})
    assert found["a"].difference == pytest.approx(0.02)
    assert (found["a"].verdict, found["b"].verdict) == ("better", "worse")  # the seeds agree exactly


def test_the_interval_pools_the_noise_of_all_networks() -> None:
    reference = {0: 0.5, 1: 0.5}
    found = compare({"a": {0: 0.52, 1: 0.50}, "b": {0: 0.47, 1: 0.51}}, reference)
    pooled = math.sqrt((2 * 0.01**2 + 2 * 0.02**2) / 2)
    half = 2.919986 * pooled / math.sqrt(2)  # Student's t for two degrees of freedom, 95 % one-sided
    assert found["a"].high == pytest.approx(0.01 + half, rel=1e-5)
    assert found["b"].low == pytest.approx(-0.01 - half, rel=1e-5)
    assert found["a"].verdict == found["b"].verdict == "no worse"


def test_one_seed_has_no_interval() -> None:
    (only,) = compare({"a": {0: 0.6}}, {0: 0.5}).values()
    assert (only.difference, only.low, only.high, only.verdict) == (pytest.approx(0.1), None, None, "unknown")


def test_networks_without_a_common_seed_are_left_out() -> None:
    assert compare({"a": {1: 0.6}, "b": {0: 0.6}}, {0: 0.5}).keys() == {"b"}
    assert compare({}, {0: 0.5}) == {}
