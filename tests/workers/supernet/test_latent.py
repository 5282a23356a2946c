"""Pools of backbones: strata, sampled features, and which backbone is replaced."""

import collections
import itertools

import pytest
import torch
from torch import Tensor

from workers.errors import GenotypeError
from workers.messages.architecture import Architecture
from workers.spaces import get_space
from workers.spaces.base import Backbone
from workers.supernet.latent import BackboneSwapping, LatentSampling, _Moments
from workers.supernet.strata import DepthStrata

ORDER = [
    "b6b065fdbce5dad7",
    "85a6c9f72f3e7e94",
    "d0e742debcbb177d",
    "8ca0b65528299263",
    "e75aeecff8b001a4",
    "c99f6c3354f06744",
    "8c705b38a9f04475",
    "a2331edc39bc27dc",
]
IMAGES = torch.zeros(2, 3, 8, 8)


class _Constant(Backbone):
    """A pyramid of one level that holds the backbone's number."""

    def __init__(self, number: int, width: int = 4) -> None:
        super().__init__()
        self.number, self.width = number, width

    def forward(self, images: Tensor) -> list[Tensor]:
        return [torch.full((len(images), self.width, 2, 2), float(self.number))]


def _build_constant(architecture: Architecture) -> Backbone:
    """Return a constant of the architecture, so that features show which backbones are in the pool."""
    return _Constant(int(architecture.id[:4], 16))


class _Maker:
    """Numbers backbones and records their strata."""

    def __init__(self, strata: DepthStrata) -> None:
        self.strata, self.made = strata, list[int]()

    def __call__(self, architecture: Architecture) -> Backbone:
        self.made.append(self.strata.stratum_of(self.strata.depth(architecture)))
        return _Constant(len(self.made) - 1)


@pytest.fixture(scope="module")
def strata() -> DepthStrata:
    return DepthStrata(get_space("mobilenetv3"), 5, 0)


def test_strata_have_about_equal_probability(strata: DepthStrata) -> None:
    space = get_space("mobilenetv3")
    assert strata.non_empty == [0, 1, 2, 3, 4]
    sequence = itertools.islice(space.sequence(7), 60)
    counts = collections.Counter(strata.stratum_of(strata.depth(architecture)) for architecture in sequence)
    assert all(3 <= counts[stratum] <= 27 for stratum in range(5))
    depths = [strata.depth(strata.sample(stratum)) for stratum in strata.non_empty]
    assert depths == sorted(depths)


def test_a_space_with_few_depths_has_fewer_strata() -> None:
    strata = DepthStrata(get_space("nasbench201"), 20, 0)
    assert 1 < len(strata.non_empty) < 20
    assert all(strata.stratum_of(strata.depth(strata.sample(stratum))) == stratum for stratum in strata.non_empty)


def test_the_pool_is_stratified_and_replaces_its_oldest(strata: DepthStrata) -> None:
    maker = _Maker(strata)
    source, generator = LatentSampling(strata, maker, per_stratum=2), torch.Generator().manual_seed(0)
    for step in range(8):
        source.pyramid(IMAGES, generator)
        assert len(maker.made) == 10 + step
        assert step == 0 or maker.made[-1] == maker.made[step - 1]  # the stratum of the backbone that it replaces
    assert sorted(maker.made[:10]) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_a_background_thread_builds_the_same_pools_one_batch_ahead() -> None:
    seen = []
    for background in (False, True):
        strata = DepthStrata(get_space("mobilenetv3"), 5, 0)
        source = LatentSampling(strata, _build_constant, per_stratum=1, background=background)
        source.skip(3)
        seen.append([source.pyramid(IMAGES, torch.Generator().manual_seed(i))[0] for i in range(9)])
    assert all(torch.equal(one, two) for one, two in zip(*seen, strict=True))


def test_an_error_in_the_background_is_raised(strata: DepthStrata) -> None:
    def fail(architecture: Architecture) -> Backbone:
        raise GenotypeError(architecture.id)

    with pytest.raises(GenotypeError):
        LatentSampling(strata, fail, per_stratum=1, background=True).pyramid(IMAGES, torch.Generator())


def test_the_order_of_the_architectures_is_fixed() -> None:
    """Heads of one recipe and seed are comparable only if it never changes."""
    strata = DepthStrata(get_space("resnet50"), 5, 0)
    built = list[str]()

    def record(architecture: Architecture) -> Backbone:
        built.append(architecture.id)
        return _Constant(0)

    source = LatentSampling(strata, record, per_stratum=1)
    for _ in range(4):
        source.pyramid(IMAGES, torch.Generator())
    assert built == ORDER


@pytest.mark.parametrize("kind", [LatentSampling, BackboneSwapping])
def test_skipped_batches_change_the_backbones_alike(kind: type[LatentSampling | BackboneSwapping]) -> None:
    pools = []
    for skipped in (0, 7):
        strata = DepthStrata(get_space("mobilenetv3"), 5, 0)
        maker = _Maker(strata)
        source = kind(strata, maker, 3)
        source.skip(skipped)
        assert maker.made == []
        for _ in range(7 - skipped):
            source.pyramid(IMAGES, torch.Generator())
        source.pyramid(IMAGES, torch.Generator())
        pools.append((maker.made[-1], strata.sample(2)))
    assert pools[0] == pools[1]


def _sample_features(maps: list[Tensor], generator: torch.Generator) -> Tensor:
    moments = _Moments()
    for level in maps:
        moments.add(level)
    return moments.sample(generator)


def test_samples_have_the_pools_mean_and_deviation() -> None:
    maps = [torch.full((64, 3, 16, 16), value) for value in (1.0, 3.0, 8.0)]
    sampled = _sample_features(maps, torch.Generator().manual_seed(0))
    assert float(sampled.mean()) == pytest.approx(4.0, abs=0.05)
    assert float(sampled.std()) == pytest.approx(torch.tensor([1.0, 3, 8]).std(unbiased=False).item(), abs=0.05)
    alone = _sample_features([maps[1]], torch.Generator())
    assert torch.equal(alone, maps[1])


def test_channels_of_wide_backbones_alone_are_sampled_from_them() -> None:
    narrow, wide = torch.full((1, 2, 4, 4), 1.0), torch.full((1, 5, 4, 4), 3.0)
    sampled = _sample_features([narrow, wide], torch.Generator().manual_seed(0))
    assert torch.equal(sampled, _sample_features([wide, narrow], torch.Generator().manual_seed(0)))
    assert sampled.shape == (1, 5, 4, 4)
    assert torch.equal(sampled[:, 2:], wide[:, 2:])
    assert not torch.equal(sampled[:, :2], wide[:, :2])


def test_swapping_keeps_a_backbone_for_some_batches(strata: DepthStrata) -> None:
    maker = _Maker(strata)
    source, generator = BackboneSwapping(strata, maker, batches=3), torch.Generator()
    seen = [int(source.pyramid(IMAGES, generator)[0][0, 0, 0, 0]) for _ in range(15)]
    assert seen == [i // 3 for i in range(15)]
    assert maker.made == [0, 1, 2, 3, 4]
