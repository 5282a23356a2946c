"""Features of nodes and statistics of graphs: values computed by hand, and batches that keep each graph unchanged."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import timm
import torch
from torch import nn

from predictor.features.nodes import NODE_FEATURES, PackedGraphs, encode_graph, node_depths
from predictor.features.statistics import STATISTICS, graph_statistics, statistics_table
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


def test_node_features_by_hand() -> None:
    encoded = encode_graph(BRANCHED)
    assert [OPS[index] for index in encoded.ops] == ["input", "conv", "relu", "add", "output"]
    assert encoded.edges.tolist() == [[0, 1, 2, 1, 3], [1, 2, 3, 3, 4]]
    row = dict(zip(NODE_FEATURES, encoded.nodes[1].tolist(), strict=True))
    assert row["channels_in"] == pytest.approx(0.2)  # log2(1 + 3) / 10
    assert row["flops"] == pytest.approx(np.log2(13825) / 10)
    assert (row["kernel_height"], row["depth"]) == (pytest.approx(3 / 7), pytest.approx(0.25))
    assert node_depths(BRANCHED) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_node_features_stay_small(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    encoded = encode_graph(trace(model))
    assert np.isfinite(encoded.nodes).all()
    assert 0 <= encoded.nodes.min() <= encoded.nodes.max() < 4.5
    assert (encoded.edges[0] < encoded.edges[1]).all()


def test_graph_statistics_by_hand() -> None:
    values = graph_statistics(BRANCHED)
    assert (values["nodes"], values["depth"], values["joins"], values["count_conv"]) == (5, 4, 1, 1)
    assert values["log_params"] == pytest.approx(np.log2(109))
    assert (values["kernel_3"], values["work_conv"]) == (1, 1)
    assert tuple(graph_statistics(SMALL)) == tuple(values) == STATISTICS
    assert statistics_table([SMALL, BRANCHED]).shape == (2, len(STATISTICS))


def test_level_statistics_by_hand() -> None:
    values = graph_statistics(SMALL)  # a stride of 2 on 32 pixels: all convolutions have outputs of 16 x 16
    assert (values["level0_weighted"], values["level1_weighted"], values["level1_kernels"]) == (0, 2, 4)
    assert values["level1_log_params"] == pytest.approx(np.log2(1 + SMALL.params))
    assert values["level1_widest"] == pytest.approx(np.log2(17))


def test_a_batch_contains_the_chosen_graphs() -> None:
    single = [encode_graph(SMALL), encode_graph(BRANCHED), encode_graph(SMALL)]
    packed = PackedGraphs.of(single)
    assert len(packed) == 3
    for size in (1, 2, 3):
        for chosen in itertools.permutations(range(3), size):
            batch, owner = packed.batch(np.array(chosen))
            for position, number in enumerate(chosen):
                mine = owner == position
                first = int(np.flatnonzero(mine)[0])
                own_edges = batch.edges[:, mine[batch.edges[0]]] - first
                assert np.array_equal(batch.nodes[mine], single[number].nodes)
                assert np.array_equal(batch.ops[mine], single[number].ops)
                assert np.array_equal(own_edges, single[number].edges)
