"""Evolution under NSGA-II."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from orchestrator.search.evolution import Scores, crowding_distance, evolve, survivors
from orchestrator.search.holding import Held
from workers.messages.architecture import Architecture
from workers.spaces import get_space

SPACE = get_space("nasbench201")


def _scores(mean: list[float], cost: list[float], excess: list[float] | None = None) -> Scores:
    count = len(mean)
    return Scores(np.array(mean), np.zeros(count), np.array(cost), np.array(excess or [0.0] * count))


def test_survivors_are_the_fronts_in_turn_and_then_those_nearest_to_the_limits() -> None:
    scores = _scores([0.5, 0.9, 0.4, 0.7, 0.99], [1.0, 4.0, 2.0, 2.0, 1.0], [0, 0, 0, 0.5, 0.1])
    assert set(survivors(scores, 2).tolist()) == {0, 1}
    assert survivors(scores, 5).tolist()[2:] == [2, 4, 3]
    assert survivors(_scores([], []), 3).tolist() == []


def test_crowding_keeps_the_ends_and_prefers_lonely_points() -> None:
    points = np.array([[0.0, 1.0], [0.1, 0.9], [0.5, 0.5], [1.0, 0.0]])
    distance = crowding_distance(points)
    assert np.isinf(distance[[0, 3]]).all()
    assert distance[2] > distance[1]


def _by_convolutions(architectures: Sequence[Architecture]) -> tuple[list[Architecture], Scores]:
    """Value: the number of 3x3 convolutions; cost: 1 plus the number of any convolutions; at most two of them."""
    ops = [a.values["ops"] for a in architectures]
    large = [float(o.count("nor_conv_3x3")) for o in ops]
    convolutions = [1.0 + o.count("nor_conv_3x3") + o.count("nor_conv_1x1") for o in ops]
    return list(architectures), _scores(large, convolutions, [max(0.0, c - 3.0) for c in convolutions])


def test_evolution_finds_the_best_within_the_limits_and_repeats() -> None:
    start = [SPACE.sample(random.Random(seed)) for seed in range(16)]
    runs = [evolve(start, Held(SPACE), _by_convolutions, random.Random(0), 24, 8) for _ in range(2)]
    everyone, scores = runs[0]
    assert [a.id for a in runs[1][0]] == [a.id for a in everyone]
    assert len(set(everyone)) == len(everyone) == len(scores.mean) > 100
    assert scores.mean[scores.excess <= 0].max() == 2.0


def test_what_cannot_be_built_is_left_out() -> None:
    def half(architectures: Sequence[Architecture]) -> tuple[list[Architecture], Scores]:
        return _by_convolutions([a for a in architectures if "none" not in a.values["ops"]])

    everyone, _ = evolve([SPACE.sample(random.Random(s)) for s in range(16)], Held(SPACE), half, random.Random(0), 8, 2)
    assert everyone
    assert all("none" not in a.values["ops"] for a in everyone)
