"""Numbers of graphs: comparable, complete, and the same however they are batched."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import timm
import torch
from torch import nn

from predictor.features.nodes import NODE_FEATURES, PackedGraphs, depths, encode_graph
from predictor.features.statistics import STATISTICS, statistics, statistics_table
from predictor.graph import Graph, Node, trace
from predictor.graph.vocabulary import OPS

SMALL = trace(nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 1)), (3, 32, 32))
BRANCHED = Graph(
    (
        Node("input", (), 3, 3, 64, 64),
        Node("conv", (0,), 3, 4, 64, 64, (3, 3), params=108, flops=13824),
        Node("relu", (1,), 4, 4, 64, 64),
        Node("add", (2, 1), 4, 4, 64, 64),
        Node("output", (3,), 4, 4, 64, 64),
    ),
    (3, 8, 8),
)


def test_numbers_of_nodes() -> None:
    found = encode_graph(BRANCHED)
    assert [OPS[place] for place in found.ops] == ["input", "conv", "relu", "add", "output"]
    assert found.edges.tolist() == [[0, 1, 2, 1, 3], [1, 2, 3, 3, 4]]
    row = dict(zip(NODE_FEATURES, found.nodes[1].tolist(), strict=True))
    assert row["channels_in"] == pytest.approx(0.2)  # log2(1 + 3) / 10
    assert row["flops"] == pytest.approx(np.log2(13825) / 10)
    assert (row["kernel_height"], row["depth"]) == (pytest.approx(3 / 7), pytest.approx(0.25))
    assert depths(BRANCHED) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_numbers_stay_small(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    found = encode_graph(trace(model))
    assert np.isfinite(found.nodes).all()
    assert 0 <= found.nodes.min() <= found.nodes.max() < 4.5
    assert (found.edges[0] < found.edges[1]).all()


def test_statistics_of_the_whole() -> None:
    found = statistics(BRANCHED)
    assert (found["nodes"], found["depth"], found["joins"], found["count_conv"]) == (5, 4, 1, 1)
    assert found["log_params"] == pytest.approx(np.log2(109))
    assert (found["kernel_3"], found["work_conv"]) == (1, 1)
    assert tuple(statistics(SMALL)) == tuple(found) == STATISTICS
    assert statistics_table([SMALL, BRANCHED]).shape == (2, len(STATISTICS))


def test_statistics_of_a_level_are_those_of_its_resolution() -> None:
    found = statistics(SMALL)  # a stride of 2 on 32 pixels: all convolutions put out 16 x 16
    assert (found["level0_weighted"], found["level1_weighted"], found["level1_kernels"]) == (0, 2, 4)
    assert found["level1_log_params"] == pytest.approx(np.log2(1 + SMALL.params))
    assert found["level1_widest"] == pytest.approx(np.log2(17))


def test_a_batch_holds_the_same_graphs() -> None:
    single = [encode_graph(SMALL), encode_graph(BRANCHED), encode_graph(SMALL)]
    collated = PackedGraphs.of(single)
    assert len(collated) == 3
    for size in (1, 2, 3):
        for chosen in itertools.permutations(range(3), size):
            batch, owner = collated.batch(np.array(chosen))
            for place, number in enumerate(chosen):
                mine = owner == place
                first = int(np.flatnonzero(mine)[0])
                own_edges = batch.edges[:, mine[batch.edges[0]]] - first
                assert np.array_equal(batch.nodes[mine], single[number].nodes)
                assert np.array_equal(batch.ops[mine], single[number].ops)
                assert np.array_equal(own_edges, single[number].edges)
