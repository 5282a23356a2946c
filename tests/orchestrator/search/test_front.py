"""Fronts of value against cost."""

from __future__ import annotations

import math

import numpy as np
import pytest

from orchestrator.search.front import Front, on_front


def test_the_front_has_what_nothing_cheaper_reaches() -> None:
    values, costs = np.array([0.5, 0.6, 0.4, 0.6, 0.9]), np.array([1.0, 2.0, 3.0, 2.5, 9.0])
    assert on_front(values, costs).tolist() == [True, True, False, False, True]
    assert on_front(np.zeros(0), np.zeros(0)).tolist() == []


def test_of_equal_networks_one_is_on_the_front() -> None:
    assert on_front(np.array([0.5, 0.5]), np.array([1.0, 1.0])).sum() == 1


def _front() -> Front:
    return Front(np.array([0.5, 0.7, 0.4]), np.array([2.0, 8.0, 4.0]), worst=0.4, least=1.0, limit=16.0)


def test_the_area_is_value_times_log_cost() -> None:
    assert _front().area == pytest.approx(0.1 * math.log(4) + 0.3 * math.log(2))
    assert _front().best == 0.7


def test_a_network_above_the_limit_is_not_part_of_the_front() -> None:
    front = Front(np.array([0.5, 0.9]), np.array([2.0, 20.0]), worst=0.4, least=1.0, limit=16.0)
    assert front.best == 0.5


def test_the_expected_improvement_is_the_mean_of_the_added_area() -> None:
    front, rng = _front(), np.random.default_rng(0)
    mean, deviation, cost = 0.6, 0.1, 3.0
    areas = []
    for value in rng.normal(mean, deviation, 4000):
        grown = Front(np.append(front.values, value), np.append(front.costs, cost), 0.4, 1.0, 16.0)
        areas.append(grown.area - front.area)
    expected = front.expected_improvement(np.array([mean]), np.array([deviation]), np.array([cost]))
    assert expected[0] == pytest.approx(np.mean(areas), rel=0.05)


def test_the_same_value_at_less_cost_adds_more_and_above_the_limit_nothing() -> None:
    costs = np.array([1.0, 3.0, 12.0, 17.0])
    gains = _front().expected_improvement(np.full(4, 0.75), np.full(4, 0.02), costs)
    assert gains[0] > gains[1] > gains[2] > 0
    assert gains[3] == 0
