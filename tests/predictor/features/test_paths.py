"""Path statistics agree with values counted by hand."""

from math import log2

import pytest

from predictor.features.paths import path_statistics
from predictor.features.statistics import graph_statistics
from predictor.graph import Graph, Node

SIDES = (1, 1, 64, 64)


def conv(source: int, kernel: int) -> Node:
    return Node("conv", (source,), *SIDES, kernel=(kernel, kernel), params=kernel**2, flops=128 * kernel**2)


def node(op: str, *inputs: int) -> Node:
    return Node(op, inputs, *SIDES)


# Two branches and a third that is multiplied by zero; then a branch with a skip connection.
BRANCHED = Graph(
    (
        node("input"),
        conv(0, 3),
        node("batch_norm", 1),
        node("avg_pool", 0),
        node("add", 2, 3),
        node("zero", 0),
        node("add", 4, 5),
        conv(6, 1),
        node("batch_norm", 7),
        node("add", 8, 6),
        node("output", 9),
    ),
    (1, 8, 8),
)


def test_paths_of_a_small_network() -> None:
    paths = path_statistics(BRANCHED)
    assert paths.count == 4
    assert [number for number, is_live in enumerate(paths.live) if not is_live] == [5]
    assert paths.share == [1, 0.5, 0.5, 0.5, 1, 0, 1, 0.5, 0.5, 1, 1]
    # The last sum has two inputs: the branch, normalised to variance 1, and the skip connection, of variance 2.
    assert paths.flow == pytest.approx([1, 0.5, 0.5, 0.5, 1, 0, 1, 1 / 3, 1 / 3, 1, 1])
    assert paths.log_signal == pytest.approx((1 + 1 + 1 + 2 * log2(3)) / 10)
    assert (paths.min_counts, paths.max_counts) == ((0, 0, 0), (2, 1, 1))


def test_path_statistics_are_among_the_graph_statistics() -> None:
    values = graph_statistics(BRANCHED)
    assert values["log_ways"] == pytest.approx(log2(5))
    assert values["ways_weighted"] == 1
    assert values["flow_weighted"] == pytest.approx(5 / 6)
    assert (values["ways_spatial"], values["most_spatial"], values["least_spatial"]) == (0.5, 1, 0)
    assert values["count_zero"] == 0  # no path passes through it


def test_nodes_without_a_path_count_in_cost_only() -> None:
    off = Graph((node("input"), conv(0, 3), node("zero", 1), node("add", 0, 2), node("output", 3)), (1, 8, 8))
    values = graph_statistics(off)
    assert (values["count_conv"], values["level0_weighted"], values["most_weighted"]) == (0, 0, 0)
    assert values["log_params"] == pytest.approx(log2(10))


def test_a_network_without_any_path_has_statistics() -> None:
    none = Graph((node("input"), node("zero", 0), node("output", 1)), (1, 8, 8))
    paths = path_statistics(none)
    assert (paths.count, paths.live, paths.min_counts) == (0, [False] * 3, (0, 0, 0))
    assert graph_statistics(none)["log_ways"] == 0


def test_very_deep_networks_stay_finite() -> None:
    nodes, last = [node("input")], 0
    for _ in range(1500):  # 2 ** 1500 paths
        nodes += [conv(last, 3), node("add", len(nodes), last)]
        last = len(nodes) - 1
    paths = path_statistics(Graph((*nodes, node("output", last)), (1, 8, 8)))
    assert paths.count == 2**1500
    assert paths.share[1] == pytest.approx(0.5)
    assert 0 < paths.log_signal < 700
