"""Which properties go with high predictions, beyond cost."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.report.sections.attention import property_correlations
from predictor.features.graph_pool import GraphPool
from predictor.label_set import LabelSet
from tests.support.labelled_networks import network


@pytest.fixture(scope="module")
def labels() -> LabelSet:
    graphs = [network(number) for number in range(40)]
    pool = GraphPool.of(graphs)
    values = np.array([np.log2(graph.flops) for graph in graphs])
    ids = np.array([str(number) for number in range(len(graphs))])
    return LabelSet("cells", "cells", "seg", "shapes", ids, values, np.arange(len(graphs)), pool)


def test_a_predictor_of_flops_looks_at_flops(labels: LabelSet) -> None:
    rows = {row["property"]: row for row in property_correlations(labels, labels.values)}
    assert rows["FLOPs"]["predicted"] == rows["FLOPs"]["measured"] == pytest.approx(1.0)
    assert rows["FLOPs"]["beyond_flops"] is None
    assert next(iter(rows)) == "FLOPs"  # the strongest first
    # At equal ranks of FLOPs nothing else counts: the partial correlation is undefined.
    assert all(row["beyond_flops"] is None for row in rows.values())


def test_what_counts_beyond_flops_is_found(labels: LabelSet) -> None:
    rng = np.random.default_rng(0)
    depth = labels.column("depth")
    standard = (depth - depth.mean()) / depth.std() + 0.1 * rng.normal(size=len(labels))
    rows = {row["property"]: row for row in property_correlations(labels, standard)}
    assert rows["depth"]["beyond_flops"] > 0.8
    assert rows["depth"]["measured_beyond_flops"] is None  # these labels are FLOPs alone


def test_what_is_equal_in_all_networks_is_left_out(labels: LabelSet) -> None:
    one = labels.take(np.zeros(12, np.int64))
    assert property_correlations(one, one.values) == []
