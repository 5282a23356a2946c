"""Label sets of small random networks whose labels are known functions of five statistics of their graphs."""

from functools import cache

import numpy as np

from predictor.features.graph_pool import GraphPool
from predictor.features.statistics import STATISTICS
from predictor.graph import Graph, Node
from predictor.label_set import LabelSet
from predictor.models.scaling import Standardiser

_COLUMNS = [STATISTICS.index(name) for name in ("log_flops", "log_params", "depth", "widest", "level2_weighted")]


def random_graph(seed: int) -> Graph:
    """Return three stages of convolutions on 64 x 64 pixels; some are depthwise, some have a skip connection."""
    draw = np.random.default_rng(seed)
    nodes = [Node("input", (), 3, 3, 4096, 4096)]
    channels, positions = 3, 4096
    for _ in range(3):
        width = int(draw.integers(4, 64))
        for number in range(int(draw.integers(1, 6))):
            above, stride = len(nodes) - 1, 2 if number == 0 else 1
            positions //= stride**2
            kernel = int(draw.choice([1, 3, 5]))
            depthwise = bool(channels == width and draw.random() < 0.3)
            weights = kernel**2 * width * (1 if depthwise else channels)
            shape = (channels, width, positions * stride**2, positions)
            op, groups = ("depthwise_conv", width) if depthwise else ("conv", 1)
            sides = ((kernel, kernel), (stride, stride), (1, 1))
            nodes.append(Node(op, (above,), *shape, *sides, groups, False, weights, 2 * weights * positions))
            nodes.append(Node("relu", (above + 1,), width, width, positions, positions))
            if number and draw.random() < 0.5:
                nodes.append(Node("add", (above + 2, above), width, width, positions, positions))
            channels = width
    nodes.append(Node("output", (len(nodes) - 1,), channels, channels, positions, positions))
    return Graph(tuple(nodes), (3, 64, 64))


@cache
def _pool(first: int, count: int) -> GraphPool:
    return GraphPool.of(random_graph(first + number) for number in range(count))


def label_set(
    name: str, count: int, weights: list[float], seed: int = 0, noise: float = 0.05, first: int = 0
) -> LabelSet:
    """Return labels of `count` networks from number `first`: 0.5 + a tenth of the weighted sum of five statistics."""
    space, task, data = name.split("/")
    ids = np.array([f"{space}-{first + number}" for number in range(count)])
    pool = _pool(first, count)
    statistics = Standardiser.of(_pool(0, 200).statistics[:, _COLUMNS])(pool.statistics[:, _COLUMNS])
    values = 0.5 + 0.1 * (statistics @ np.array(weights) + noise * np.random.default_rng(seed).normal(size=count))
    return LabelSet(name, space, task, data, ids, values, np.arange(count), pool)
