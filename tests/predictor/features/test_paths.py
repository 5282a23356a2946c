"""What wiring makes of operations, as counted by hand."""

from math import log2

import pytest

from predictor.features.paths import path_statistics
from predictor.features.statistics import statistics
from predictor.graph import Graph, Node

SIDES = (1, 1, 64, 64)


def conv(source: int, kernel: int) -> Node:
    return Node("conv", (source,), *SIDES, kernel=(kernel, kernel), params=kernel**2, flops=128 * kernel**2)


def node(op: str, *inputs: int) -> Node:
    return Node(op, inputs, *SIDES)


# Two branches and a third that is switched off; then one branch beside nothing.
WIRED = Graph(
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


def test_ways_of_a_small_network() -> None:
    found = path_statistics(WIRED)
    assert found.number == 4
    assert [number for number, lives in enumerate(found.live) if not lives] == [5]
    assert found.share == [1, 0.5, 0.5, 0.5, 1, 0, 1, 0.5, 0.5, 1, 1]
    # The last sum is of the branch, normalised to variance 1, and of what passes it by, which has variance 2.
    assert found.flow == pytest.approx([1, 0.5, 0.5, 0.5, 1, 0, 1, 1 / 3, 1 / 3, 1, 1])
    assert found.log_signal == pytest.approx((1 + 1 + 1 + 2 * log2(3)) / 10)
    assert (found.least, found.most) == ((0, 0, 0), (2, 1, 1))


def test_statistics_of_ways() -> None:
    found = statistics(WIRED)
    assert found["log_ways"] == pytest.approx(log2(5))
    assert found["ways_weighted"] == 1
    assert found["flow_weighted"] == pytest.approx(5 / 6)
    assert (found["ways_spatial"], found["most_spatial"], found["least_spatial"]) == (0.5, 1, 0)
    assert found["count_zero"] == 0  # no way goes through it


def test_what_is_switched_off_counts_in_cost_alone() -> None:
    off = Graph((node("input"), conv(0, 3), node("zero", 1), node("add", 0, 2), node("output", 3)), (1, 8, 8))
    found = statistics(off)
    assert (found["count_conv"], found["level0_weighted"], found["most_weighted"]) == (0, 0, 0)
    assert found["log_params"] == pytest.approx(log2(10))


def test_a_network_without_any_way_has_statistics() -> None:
    none = Graph((node("input"), node("zero", 0), node("output", 1)), (1, 8, 8))
    found = path_statistics(none)
    assert (found.number, found.live, found.least) == (0, [False] * 3, (0, 0, 0))
    assert statistics(none)["log_ways"] == 0


def test_very_deep_networks_stay_finite() -> None:
    nodes, last = [node("input")], 0
    for _ in range(1500):  # 2 ** 1500 ways
        nodes += [conv(last, 3), node("add", len(nodes), last)]
        last = len(nodes) - 1
    found = path_statistics(Graph((*nodes, node("output", last)), (1, 8, 8)))
    assert found.number == 2**1500
    assert found.share[1] == pytest.approx(0.5)
    assert 0 < found.log_signal < 700
