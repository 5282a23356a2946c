"""Replays on tables of labels are fair: equal starts, no label twice, nothing known that was not asked for."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from statistics import median

import numpy as np
import pytest

from tests.support.replay import MOST, START, STRATEGIES, Table, replay
from tests.support.synthetic_sets import label_set

TESTED = sorted(set(STRATEGIES) - {"both"})  # which has the code of `best`
QUICK = sorted(set(TESTED) - {"best", "bananas"})  # fitting a model takes longer


@cache
def table() -> Table:
    return Table(label_set("space/cls/data", 200, [1.0, 0.5, 0.0, 0.0, -0.5]))


@pytest.mark.parametrize("strategy", TESTED)
def test_no_network_is_labelled_twice(strategy: str) -> None:
    rows = replay(table(), strategy, seed=3, most=14)
    assert len(set(rows)) == len(rows) == 14
    assert rows[:START] == replay(table(), "random", seed=3, most=START)


@pytest.mark.parametrize("strategy", QUICK)
def test_equal_seeds_give_equal_replays(strategy: str) -> None:
    assert replay(table(), strategy, seed=3) == replay(table(), strategy, seed=3)
    assert replay(table(), strategy, seed=3) != replay(table(), strategy, seed=4)


@pytest.mark.parametrize("strategy", TESTED)
def test_labels_that_were_not_asked_for_change_nothing(strategy: str) -> None:
    before = replay(table(), strategy, seed=3, most=14)
    values = table().values.copy()
    hidden = np.setdiff1d(np.arange(len(values)), before[:START])
    values[hidden] = np.random.default_rng(0).permutation(values[hidden])
    values[before[:START]] -= 1.0  # the best of all is not among them, so that no strategy ends
    changed = Table(replace(table().labels, values=values))
    assert replay(changed, strategy, seed=3, most=14) == before


@pytest.mark.parametrize("strategy", ["evolution", "local"])
def test_searches_find_the_best_sooner_than_a_random_order(strategy: str) -> None:
    found = [len(replay(table(), strategy, seed)) for seed in range(15)]
    best = int(table().values.argmax())
    at_random = [_position(replay(table(), "random", seed), best) for seed in range(15)]
    assert median(found) < median(at_random)


def _position(rows: list[int], row: int) -> int:
    return rows.index(row) + 1 if row in rows else MOST
