"""Parts of the genotype that are held fixed."""

from __future__ import annotations

import itertools
import random

import pytest

from orchestrator.errors import ConfigError
from orchestrator.search.holding import Held
from workers.spaces import get_space


@pytest.mark.parametrize(
    ("space", "held"),
    [
        ("nasbench201", {"ops.5": "skip_connect"}),
        ("mobilenetv3", {"depth.0": 2, "depth.4": 4}),
        ("resnet50", {"depth.0": 0, "depth.1": 1}),
    ],
)
def test_draws_mutations_and_crossings_have_the_held_values(space: str, held: dict[str, object]) -> None:
    part, rng = Held(get_space(space), held), random.Random(0)
    drawn = list(itertools.islice(part.drawn(0), 20))
    assert len(set(drawn)) == 20
    for first, second in itertools.pairwise(drawn):
        for found in (first, part.mutated(first, rng), part.crossed(first, second, rng)):
            assert part.holds(found)
            get_space(space).check(found.values)


def test_nothing_held_is_the_space_itself() -> None:
    part = Held(get_space("nasbench201"))
    assert list(itertools.islice(part.drawn(3), 5)) == list(itertools.islice(get_space("nasbench201").sequence(3), 5))


@pytest.mark.parametrize("path", ["op.5", "ops.6", "ops.x", "ops.5.0", "", "."])
def test_a_place_that_does_not_exist_is_refused_with_those_there_are(path: str) -> None:
    with pytest.raises(ConfigError, match=r"choose from ops\.0, ops\.1"):
        Held(get_space("nasbench201"), {path: "none"})


@pytest.mark.parametrize("value", ["conv_9x9", 3, None, ["none"]])
def test_a_value_that_no_architecture_has_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="no architecture of space nasbench201 has it; one has"):
        Held(get_space("nasbench201"), {"ops.5": value})
