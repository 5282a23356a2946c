"""Graph pools are written to arrays and read back unchanged."""

import numpy as np

from predictor.features.graph_pool import GraphPool
from tests.support.synthetic_sets import random_graph


def test_arrays_are_read_back() -> None:
    pool = GraphPool.of(random_graph(seed) for seed in range(3))
    arrays = pool.to_arrays()
    assert sorted(arrays) == ["edge_start", "edges", "node_start", "nodes", "ops", "statistics"]
    again = GraphPool.from_arrays(arrays | {"other": np.zeros(1)})
    assert len(again) == 3
    assert all(np.array_equal(value, again.to_arrays()[name]) for name, value in arrays.items())
