"""Graphs as JSON: what is no graph is an error in one line."""

import json

import pytest
from torch import nn

from predictor.graph import Graph, trace
from predictor.graph.structure import GraphError

GRAPH = trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), (3, 16, 16))
DOCUMENT = json.loads(GRAPH.to_json())
NODE = DOCUMENT["nodes"][1]


def test_round_trip() -> None:
    assert Graph.from_json(GRAPH.to_json()) == GRAPH


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", "[" * 100_000]
    + [
        json.dumps(DOCUMENT | change)
        for change in (
            {"input_size": [3, 16]},
            {"input_size": 3},
            {"version": "3"},
            {"uncounted": [1]},
            {"nodes": [[3, *NODE[1:]]]},
            {"nodes": [NODE[:5]]},
            {"nodes": [[*NODE, 1]]},
            {"nodes": [[NODE[0], [0], *NODE[2:]]]},
            {"nodes": [[NODE[0], [], *NODE[2:-1], "many"]]},
            {"nodes": [[NODE[0], [], *NODE[2:-1], [1, 2]]]},
        )
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(GraphError, match="graph: cannot be read") as caught:
        Graph.from_json(text)
    assert "\n" not in str(caught.value)
