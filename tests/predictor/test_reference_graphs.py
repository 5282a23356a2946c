"""The distance from training graphs is in units of the distances among them; it is stored with a generation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from predictor.features.statistics import STATISTICS
from predictor.reference_graphs import (
    MAX_GRAPHS,
    MIN_GRAPHS,
    ReferenceGraphs,
    Widening,
    reference_graphs,
    references_from_arrays,
    references_to_arrays,
)
from tests.support.synthetic_sets import label_set

LABELS = label_set("a/seg/x", 80, [1.0, 0.3, -0.5, 0.2, 0.4], first=1000)


def reference() -> ReferenceGraphs:
    return reference_graphs([LABELS])["seg", "x"]


def test_one_training_graph_in_twenty_is_farther_than_distance_one() -> None:
    statistics = LABELS.statistics
    to_others = []
    for number in range(len(statistics)):  # each against the others, in the unit of all
        whole = reference()
        others = dataclasses.replace(whole, statistics=np.delete(statistics.astype(np.float32), number, axis=0))
        to_others.append(others.distances(statistics[number : number + 1])[0])
    assert np.mean(np.array(to_others) > 1) == pytest.approx(0.05, abs=0.02)
    assert np.array_equal(reference().distances(statistics), np.zeros(len(statistics)))


def test_a_graph_is_far_if_its_statistics_are_unlike_the_others() -> None:
    moved = LABELS.statistics[:1].copy()
    moved[0, STATISTICS.index("log_flops")] += 20
    near = reference().distances(moved)[0]
    moved[0] += 20
    far = reference().distances(moved)[0]
    assert 0 < near < far
    moved[0] += 1e9  # a statistic counts up to three deviations, so that one odd one does not decide
    assert reference().distances(moved)[0] == pytest.approx(3 / reference().scale)


def test_too_few_or_equal_graphs_have_no_distance() -> None:
    rows = LABELS.statistics[:MIN_GRAPHS]
    assert ReferenceGraphs.of(rows) is not None
    assert ReferenceGraphs.of(rows[1:]) is None
    assert ReferenceGraphs.of(np.repeat(rows[:1], 50, axis=0)) is None
    assert reference_graphs([LABELS.take(np.arange(5))]) == {}


def test_equal_tables_are_stored_once_and_missing_ones_tolerated() -> None:
    again = dataclasses.replace(LABELS, task="cls")
    other = label_set("b/cls/y", 60, [1.0, 0.0, 0.0, 0.0, 0.0])
    references = reference_graphs([LABELS, again, other])
    arrays, entries = references_to_arrays(references)
    assert (len(arrays), len(entries)) == (2, 3)
    assert all(table.dtype == np.float32 for table in arrays.values())
    restored = references_from_arrays(arrays, entries)
    for key, one in references.items():
        assert np.array_equal(restored[key].distances(other.statistics), one.distances(other.statistics))
    assert references_from_arrays({}, entries) == {}


def test_the_same_networks_are_kept_in_every_set() -> None:
    many = label_set("a/seg/x", MAX_GRAPHS + 50, [1.0, 0.0, 0.0, 0.0, 0.0])
    shuffled = dataclasses.replace(many.take(np.random.default_rng(0).permutation(len(many))), task="cls")
    arrays, _ = references_to_arrays(reference_graphs([many, shuffled]))
    assert [len(table) for table in arrays.values()] == [MAX_GRAPHS]


def test_deviations_grow_beyond_distance_one_only() -> None:
    factors = Widening(exponent=0.5, tested=30).factors(np.array([0.0, 0.9, 1.0, 4.0, 9.0]))
    assert factors.tolist() == [1.0, 1.0, 1.0, 2.0, 3.0]
