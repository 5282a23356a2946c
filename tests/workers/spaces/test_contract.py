"""The contract of search spaces, tested on every registered space."""

import functools
import itertools
import random

import pytest
import torch

from predictor.errors import AIOPError
from workers.errors import GenotypeError, RecipeError, UnknownNameError
from workers.messages.architecture import Architecture
from workers.spaces import Space, contract, get_space, space_names


@pytest.fixture(params=space_names())
def space(request: pytest.FixtureRequest) -> Space:
    return get_space(request.param)


class TestSpaceContract:
    def test_sampling_is_deterministic_and_distinct(self, space: Space) -> None:
        first = list(itertools.islice(space.sequence(3), 30))
        assert first == list(itertools.islice(space.sequence(3), 30))
        assert len({a.id for a in first}) == 30
        assert first != list(itertools.islice(space.sequence(4), 30))

    @pytest.mark.parametrize("name", contract.CHECKS)
    def test_a_network_passes(self, space: Space, name: str) -> None:
        contract.CHECKS[name](space, next(space.sequence(1)))

    def test_code_round_trips(self, space: Space) -> None:
        for architecture in itertools.islice(space.sequence(0), 50):
            contract.check_code(space, architecture)
        codes = {tuple(space.encode(architecture)) for architecture in itertools.islice(space.sequence(0), 50)}
        assert len(codes) == 50
        assert len({len(code) for code in codes}) == 1

    def test_a_code_outside_the_space_is_refused(self, space: Space) -> None:
        with pytest.raises(GenotypeError):
            space.decode([99, 0])
        with pytest.raises(GenotypeError):
            space.build(Architecture.of(space.name, {"nonsense": 1}))
        with pytest.raises(GenotypeError):
            space.build(Architecture.of("another", {}))

    def test_mutation_gives_a_valid_neighbour(self, space: Space) -> None:
        for architecture in itertools.islice(space.sequence(0), 10):
            contract.check_mutation(space, architecture)

    def test_a_crossing_takes_each_choice_of_one_of_two(self, space: Space) -> None:
        rng, drawn = random.Random(0), list(itertools.islice(space.sequence(0), 12))
        changed = 0
        for first, second in itertools.pairwise(drawn):
            child = space.cross(first, second, rng)
            space.check(child.values)
            codes = zip(*(space.encode(a) for a in (first, second, child)), strict=True)
            assert all(c in (a, b) for a, b, c in codes if min(a, b) >= 0)
            changed += child not in (first, second)
        assert changed > 0 or len(space.encode(drawn[0])) == 1

    def test_pyramid_has_the_promised_shapes(self, space: Space) -> None:
        for architecture in itertools.islice(space.sequence(1), 3):
            backbone = space.build(architecture).to("meta")
            maps = backbone(torch.empty(2, 3, 64, 96, device="meta"))
            assert backbone.strides == (4, 8, 16, 32)
            for level, channels, stride in zip(maps, backbone.channels, backbone.strides, strict=True):
                assert level.shape == (2, channels, 64 // stride, 96 // stride)

    def test_cost_grows_with_the_image(self, space: Space) -> None:
        architecture = next(space.sequence(2))
        small, large = (space.cost(architecture, size) for size in ((64, 64), (128, 128)))
        assert large.params == small.params
        # Squeeze-excite costs the same at every resolution, so slightly less than four times.
        assert 3.8 * small.flops <= large.flops <= 4 * small.flops

    def test_stratified_prefix_is_stable_and_spread(self, space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
        image = (64, 64)
        monkeypatch.setattr(space, "cost", functools.cache(space.cost))  # of the same 64 architectures, three times
        prefix = list(itertools.islice(space.stratified(0, image), 8))
        flops = {a.id: space.cost(a, image, None).flops for a in itertools.islice(space.sequence(0), 64)}
        assert prefix[:4] == list(itertools.islice(space.stratified(0, image), 4))
        ranks = sorted(sum(f < flops[a.id] for f in flops.values()) for a in prefix)
        assert max(b - a for a, b in itertools.pairwise(ranks)) <= 24

    def test_an_unknown_setting_is_refused(self, space: Space) -> None:
        with pytest.raises(RecipeError, match="nonsense"):
            space.build(next(space.sequence(0)), {"nonsense": 1})


def test_an_unknown_space_is_an_error_that_lists_all_names() -> None:
    with pytest.raises(UnknownNameError, match=", ".join(space_names())):
        get_space("resnet51")
    assert issubclass(UnknownNameError, AIOPError)


def test_published_cell_strings_are_read() -> None:
    space = get_space("nasbench201")
    text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
    assert space.encode(space.parse(text)) == [3, 0, 1, 4, 2, 0]  # type: ignore[attr-defined]
    with pytest.raises(GenotypeError, match="must list edges"):
        space.parse("|none~0|")  # type: ignore[attr-defined]


def test_cells_without_a_path_are_never_sampled() -> None:
    space = get_space("nasbench201")
    sampled = {tuple(space.encode(a)) for a in space.sequence(0)}
    # By hand: 0 to 3, 0 to 1 to 3, 0 to 2 to 3, 0 to 1 to 2 to 3.
    paths = [(3,), (0, 4), (1, 5), (0, 2, 5)]
    connected = {
        c for c in itertools.product(range(5), repeat=6) if any(all(c[edge] for edge in path) for path in paths)
    }
    assert sampled == connected
    rng, single_edge = random.Random(0), space.decode([0, 0, 0, 1, 0, 0])  # one edge, from input to output
    assert all(tuple(space.encode(space.mutate(single_edge, rng))) in connected for _ in range(50))
