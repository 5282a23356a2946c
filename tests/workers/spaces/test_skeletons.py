"""Backbones as views of the shared weights: equal to extracted copies to the last bit, without their memory."""

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from tests.support.splits import image_split
from workers.messages.architecture import Architecture
from workers.spaces import get_space, space_names
from workers.spaces.base import Backbone
from workers.spaces.shared_weights import SharedWeights
from workers.spaces.skeletons import Skeletons, map_tensors
from workers.supernet.backbones import SharedBackbones, build_without_head
from workers.supernet.latent import LatentSampling, _Moments
from workers.supernet.strata import DepthStrata
from workers.training.full import initialise
from workers.training.normalisation import Normalisation

SHARING = [name for name in space_names() if get_space(name).covering_architectures()]
SPLIT = image_split("shapes:train=8,held_out=2", "seg", (32, 64))
IMAGES = Normalisation()(SPLIT.batch(range(2)).images)
SETTINGS: dict[str, dict[str, Any]] = {
    "mobilenetv3": {"width": 0.5},
    "proxylessnas": {"width": 0.75},
    "nasbench201": {"channels": [8, 8, 8, 16]},
}


def shared_weights(name: str) -> SharedWeights:
    torch.set_num_threads(1)
    space = get_space(name)
    networks = [(a, build_without_head(a, SETTINGS.get(name, {}))) for a in space.covering_architectures()]
    for _, network in networks:
        initialise(network, 0)
    return SharedWeights(space, networks)


def with_transforms(shared: SharedWeights) -> SharedWeights:
    generator = torch.Generator().manual_seed(0)
    for key, weight in list(shared.weights.items()):
        for size in range(weight.shape[-1] - 2, 2, -2) if "conv_dw" in key else ():
            shared.add_transform(key.replace("/", "."), size, torch.randn(size**2, size**2, generator=generator) / size)
    return shared


class Extracted:
    """Builds each backbone with copies of the shared weights."""

    def __init__(self, name: str, backbones: SharedBackbones) -> None:
        self._settings, self._backbones = SETTINGS.get(name, {}), backbones

    def __call__(self, architecture: Architecture) -> Backbone:
        backbone = build_without_head(architecture, self._settings).body
        assert isinstance(backbone, Backbone)
        self._backbones.initialise(architecture, backbone)
        return backbone.eval().requires_grad_(False)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("name", [*SHARING, "mobilenetv3 with transforms"])
def test_features_equal_those_of_copied_weights_to_the_last_bit(name: str, layout: torch.memory_format) -> None:
    name, _, transforms = name.partition(" ")
    shared = with_transforms(shared_weights(name)) if transforms else shared_weights(name)
    backbones = SharedBackbones(shared, SETTINGS.get(name, {}), SPLIT, range(4), 3, layout)
    copies, pool = Extracted(name, backbones), list[Backbone]()
    source = LatentSampling(DepthStrata(get_space(name), 2, 0, SETTINGS.get(name)), backbones, 1, background=True)
    strata = DepthStrata(get_space(name), 2, 0, SETTINGS.get(name))
    order = [strata.non_empty[i % len(strata.non_empty)] for i in range(5)]
    pool = [copies(strata.sample(stratum)) for stratum in order]
    for step in range(3):
        features = source.pyramid(IMAGES, torch.Generator().manual_seed(step))
        pyramids = [backbone(IMAGES) for backbone in pool[step : step + len(strata.non_empty)]]
        generator = torch.Generator().manual_seed(step)
        for level, maps in zip(features, zip(*pyramids, strict=True), strict=True):
            moments = _Moments()
            for one in maps:
                moments.add(one)
            assert torch.equal(level, moments.sample(generator))


@pytest.mark.parametrize("name", SHARING)
def test_members_take_no_memory_for_weights(name: str) -> None:
    shared = shared_weights(name)
    backbones = SharedBackbones(shared, SETTINGS.get(name, {}), SPLIT, range(1), 1, torch.channels_last)
    owned = {weight.untyped_storage().data_ptr() for weight in shared.weights.values()}
    for architecture in itertools.islice(get_space(name).sequence(0), 2):
        backbone = backbones(architecture)
        assert all(weight.untyped_storage().data_ptr() in owned for weight in backbone.parameters())
        kept = [b for b in backbone.buffers() if b.untyped_storage().data_ptr() not in owned]
        assert len(kept) == len(list(backbone.buffers()))  # each member has its own statistics


def test_a_skeleton_is_the_network_without_its_weights() -> None:
    for name in SHARING:
        skeletons = Skeletons(get_space(name), SETTINGS.get(name))
        for architecture in itertools.islice(get_space(name).sequence(0), 4):
            wanted = get_space(name).build(architecture, SETTINGS.get(name))
            made = skeletons.build(architecture)
            assert {n: v.shape for n, v in made.state_dict().items()} == {
                n: v.shape for n, v in wanted.state_dict().items()
            }
            assert str(made) == str(wanted)
            assert (made.channels, made.strides) == (wanted.channels, wanted.strides)
            assert all(parameter.is_meta for parameter in made.parameters())
            assert skeletons.depth(architecture) == sum(isinstance(m, nn.Conv2d) for m in wanted.modules())


def test_equal_blocks_in_equal_places_are_built_once() -> None:
    space = get_space("mobilenetv3")
    skeletons, (largest,) = Skeletons(space), space.covering_architectures()
    values = largest.values
    other = Architecture.of("mobilenetv3", {**values, "kernel": [3, *values["kernel"][1:]]})
    one, two = skeletons.build(largest), skeletons.build(other)
    assert one.get_submodule("stages.1") is not two.get_submodule("stages.1")
    assert one.get_submodule("stages.1.2") is two.get_submodule("stages.1.2")
    assert one.get_submodule("stages.1.2") is not one.get_submodule("stages.1.3")
    assert one.get_submodule("stages.0.0") is not two.get_submodule("stages.0.0")


def test_a_copy_with_other_tensors_keeps_ties_and_changes_nothing_else() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2, bias=False))
    network[2].weight = network[0].weight
    network.append(network[1])
    names = list[str]()

    def double(name: str, tensor: torch.Tensor) -> torch.Tensor:
        names.append(name)
        return nn.Parameter(tensor.detach() * 2) if isinstance(tensor, nn.Parameter) else tensor + 1

    before = {name: value.clone() for name, value in network.state_dict().items()}
    copied = map_tensors(network, double, double)
    assert sorted(names) == sorted([n for n, _ in network.named_parameters()] + [n for n, _ in network.named_buffers()])
    assert copied[2].weight is copied[0].weight
    assert copied[3] is copied[1]
    assert torch.equal(copied[0].weight, 2 * network[0].weight)
    copied.eval()
    assert network.training
    assert network[1].training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
