"""Shared weights: a sliced network equals the extracted one, in every space that can share weights."""

import itertools

import pytest
import torch
from torch import nn

from workers.errors import GenotypeError
from workers.messages.architecture import Architecture
from workers.spaces import get_space, space_names
from workers.spaces.shared_weights import SharedWeights
from workers.training.calibration import calibrate
from workers.training.full import initialise

SHARING = [name for name in space_names() if get_space(name).covering_architectures()]
IMAGES = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0)).float() / 60 - 2


def shared(name: str) -> SharedWeights:
    space = get_space(name)
    networks = [(a, space.build(a)) for a in space.covering_architectures()]
    for _, network in networks:
        initialise(network, 0)
    return SharedWeights(space, networks)


def test_spaces_that_share_weights() -> None:
    assert {"mobilenetv3", "proxylessnas", "resnet50", "nasbench201"} <= set(SHARING)


@pytest.mark.parametrize("name", SHARING)
def test_a_sliced_network_equals_the_extracted_network(name: str) -> None:
    space, weights = get_space(name), shared(name)
    for architecture in itertools.islice(space.sequence(0), 3):
        with torch.device("meta"):
            skeleton = space.build(architecture).eval()
        extracted = space.build(architecture).eval()
        weights.copy_into(architecture, extracted)
        sliced = weights.run(architecture, skeleton, IMAGES)
        assert isinstance(sliced, list)
        for one, two in zip(sliced, extracted(IMAGES), strict=True):
            assert torch.allclose(one, two, atol=1e-5)


@pytest.mark.parametrize("name", SHARING)
def test_gradients_reach_the_slices_and_nothing_else(name: str) -> None:
    space, weights = get_space(name), shared(name)
    architecture = next(space.sequence(1))
    with torch.device("meta"):
        skeleton = space.build(architecture)
    statistics = {k: v.clone() for k, v in weights.constants.named_buffers()}
    pyramid = weights.run(architecture, skeleton, IMAGES)
    assert isinstance(pyramid, list)
    sum(level.square().mean() for level in pyramid).backward()
    touched = sum(int((w.grad != 0).sum()) for w in weights.parameters() if w.grad is not None)
    assert 0 < touched <= sum(w.numel() for w in skeleton.parameters())
    assert all(torch.equal(v, statistics[k]) for k, v in weights.constants.named_buffers())


def test_slices_are_first_channels_and_centres_of_kernels() -> None:
    space = get_space("mobilenetv3")
    (largest,) = space.covering_architectures()
    whole = space.build(largest)
    weights = SharedWeights(space, [(largest, whole)])
    values = largest.values
    small = Architecture.of("mobilenetv3", {**values, "kernel": [3] * 20, "expansion": [3] * 20})
    cut = weights.slices(small, space.build(small))["stages.0.0.conv_dw.weight"]
    full = whole.get_parameter("stages.0.0.conv_dw.weight")
    assert torch.equal(cut, full[: full.shape[0] // 2, :, 2:5, 2:5])


def test_cells_share_weights_by_operation() -> None:
    weights = shared("nasbench201")
    space = get_space("nasbench201")
    one, three = space.covering_architectures()
    cut = {a.id: weights.slices(a, space.build(a))["stages.0.0.edges.0.1.weight"] for a in (one, three)}
    assert cut[one.id].shape[-1] == 1
    assert not torch.equal(cut[one.id], cut[three.id][..., 1:2, 1:2])


def test_a_stem_without_its_optional_layer_keeps_its_last_one() -> None:
    space, weights = get_space("resnet50"), shared("resnet50")
    values = space.covering_architectures()[0].values
    longer, shorter = (Architecture.of("resnet50", {**values, "stem": stem}) for stem in (1, 0))
    last = {a.id: weights.slices(a, space.build(a)) for a in (longer, shorter)}
    assert torch.equal(last[longer.id]["stem.2.conv.weight"], last[shorter.id]["stem.1.conv.weight"])


def test_a_network_that_is_not_covered_is_an_error() -> None:
    space = get_space("nasbench201")
    one, three = space.covering_architectures()
    weights = SharedWeights(space, [(one, space.build(one))])
    with pytest.raises(GenotypeError, match="no shared weight holds"):
        weights.slices(three, space.build(three))


def test_calibration_computes_the_mean_over_all_batches() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    before = {k: v.clone() for k, v in network.state_dict().items() if "running" not in k and "tracked" not in k}
    batches = [torch.randn(8, 3, 5, 5) + shift for shift in (0.0, 1.0, 2.0)]
    calibrate(network, batches)
    outputs = torch.stack([network[0](batch).mean((0, 2, 3)) for batch in batches])
    norm = network[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert torch.allclose(norm.running_mean, outputs.mean(0), atol=1e-5)
    assert (norm.momentum, network.training) == (0.1, True)
    assert all(torch.equal(network.state_dict()[k], v) for k, v in before.items())
