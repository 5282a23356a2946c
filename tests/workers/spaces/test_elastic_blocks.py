"""Once-for-All spaces: published sizes, stable samples, and errors that name the mistake."""

import itertools
import random
from typing import Any

import pytest

from workers.errors import GenotypeError
from workers.messages.architecture import Architecture
from workers.spaces import get_space
from workers.spaces.mobilenetv3 import MobileNetV3
from workers.spaces.proxylessnas import ProxylessNAS
from workers.spaces.resnet50 import ResNet50


@pytest.mark.parametrize(("space", "size"), [(MobileNetV3(), 46), (ProxylessNAS(), 48), (ResNet50(), 29)])
def test_codes_have_a_position_for_every_choice(space: Any, size: int) -> None:
    assert len(space.encode(next(space.sequence(0)))) == size


# Stored labels have these ids: if sampling changed, they would not be found again.
@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("mobilenetv3", ["d170ac8de6c3e615", "996e8e3e771100b4"]),
        ("proxylessnas", ["e07eb3a4bb779188", "56b0c1893117e4e9"]),
    ],
)
def test_samples_stay_the_same(name: str, ids: list[str]) -> None:
    assert [a.id for a in itertools.islice(get_space(name).sequence(0), 2)] == ids


def test_mutations_of_mobilenetv3_stay_the_same() -> None:
    space, rng = MobileNetV3(), random.Random(7)
    architecture = next(space.sequence(0))
    for _ in range(50):
        architecture = space.mutate(architecture, rng)
    assert architecture.id == "cf5fd6ee2c177152"


@pytest.mark.parametrize("name", ["mobilenetv3", "proxylessnas", "resnet50"])
def test_mutation_changes_one_choice_and_what_depends_on_it(name: str) -> None:
    space, rng = get_space(name), random.Random(0)
    for architecture in itertools.islice(space.sequence(0), 20):
        before, after = space.encode(architecture), space.encode(space.mutate(architecture, rng))
        changed = [(b, a) for b, a in zip(before, after, strict=True) if a != b]
        assert sum(b >= 0 and a >= 0 for b, a in changed) == 1


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("depth", [0, 1, 2], "needs 4 depths"),
        ("depth", [0, 1, 2, 3], "'depth' must be a list from"),
        ("expansion", [0.25], "one expansion per block"),
        ("width", [1.0], "'width' must have 6 entries"),
        ("width", 1.0, "'width' must be a list from"),
        ("stem", 2, "'stem' must be one of"),
    ],
)
def test_a_wrong_resnet50_is_refused(key: str, value: Any, message: str) -> None:
    genotype = {"depth": [0] * 4, "expansion": [0.25] * 10, "width": [1.0] * 6, "stem": 0}
    ResNet50().check(genotype)
    with pytest.raises(GenotypeError, match=message):
        ResNet50().build(Architecture.of("resnet50", {**genotype, key: value}))


def test_a_code_with_a_block_beyond_the_depth_is_refused() -> None:
    space = ResNet50()
    code = list(space.encode(Architecture.of("resnet50", {
        "depth": [0] * 4, "expansion": [0.25] * 10, "width": [1.0] * 6, "stem": 0
    })))  # fmt: skip
    code[11], code[13] = -1, 1  # the first stage has its third block in place of the first
    with pytest.raises(GenotypeError, match="must be -1 for each block beyond the depths"):
        space.decode(code)
