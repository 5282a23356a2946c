"""Label sets whose labels are known functions of the statistics."""

import numpy as np

from predictor.label_set import LabelSet
from predictor.statistics import STATISTICS

_VARYING = [STATISTICS.index(name) for name in ("log_flops", "log_params", "depth", "widest", "level2_weighted")]


def label_set(
    name: str, count: int, weights: list[float], seed: int = 0, noise: float = 0.05, first: int = 0
) -> LabelSet:
    """`count` networks, numbered from `first`. A label is 0.5 + a tenth of the weighted sum of five statistics."""
    space, task, data = name.split("/")
    ids = np.array([f"{space}-{first + i}" for i in range(count)])
    drawn = np.random.default_rng(1000 + first).normal(size=(count, len(_VARYING)))
    table = np.zeros((count, len(STATISTICS)))
    table[:, _VARYING] = drawn
    values = 0.5 + 0.1 * (drawn @ np.array(weights) + noise * np.random.default_rng(seed).normal(size=count))
    return LabelSet(name, space, task, data, ids, table, values)
