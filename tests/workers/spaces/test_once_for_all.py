"""Published Once-for-All weights: sub-networks equal those of the paper's own slicing rules, reimplemented in tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.once_for_all_files import FILES, SCALE, reference
from workers.errors import RecipeError
from workers.messages.architecture import Architecture
from workers.messages.label import LabelRequest
from workers.messages.shared_recipe import load_shared_recipe
from workers.spaces import get_space
from workers.spaces.once_for_all import OnceForAllSpace, load_published, published_fingerprint
from workers.spaces.shared_weights import SharedWeights
from workers.storage.artifacts import ArtifactFolder
from workers.supernet.backbones import build_without_head
from workers.supernet.preparation_step import PreparationStep
from workers.supernet.prepare import Preparation


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("published")
    for name, (make, _) in FILES.items():
        save_file(make(), folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in FILES}


def loaded(files: dict[str, Path], name: str) -> SharedWeights:
    space, (_, settings) = get_space(name), FILES[name]
    shared = SharedWeights(space, [(a, build_without_head(a, settings)) for a in space.covering_architectures()])
    load_published(files[name], space, shared)
    return shared


def sub_networks(space: OnceForAllSpace) -> list[Architecture]:
    """20 sub-networks: the largest, the smallest and random ones, with every depth and kernel."""
    extremes = [space.smallest_architecture(), *space.covering_architectures()]
    found = extremes + [a for a, _ in zip(space.sequence(0), range(20 - len(extremes)), strict=False)]
    for name, choices in {"depth": space.depths, **space.block_fields}.items():
        assert {value for a in found for value in a.values[name]} == set(choices)
    return found


@pytest.mark.parametrize("name", FILES)
@torch.no_grad()
def test_sub_networks_equal_the_published_networks(name: str, files: dict[str, Path]) -> None:
    space, (make, settings) = get_space(name), FILES[name]
    assert isinstance(space, OnceForAllSpace)
    tensors, images = make(), torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for architecture in sub_networks(space):
        backbone = space.build(architecture, {**settings, "pretrained": str(files[name])}).eval()
        assert backbone.keeps_weights
        assert backbone.stale_statistics
        expected = reference(name, tensors, architecture.values, images * SCALE)
        actual = backbone(images)[-1]
        assert actual.shape == expected.shape
        assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", FILES)
def test_shared_weights_give_the_same_slices(name: str, files: dict[str, Path]) -> None:
    space, (_, settings), shared = get_space(name), FILES[name], loaded(files, name)
    architecture = next(space.sequence(0))
    network = build_without_head(architecture, settings)
    shared.copy_into(architecture, network)
    built = space.build(architecture, {**settings, "pretrained": str(files[name])}).state_dict()
    assert all(torch.equal(value, built[key]) for key, value in network.body.state_dict().items())


def test_another_file_under_the_same_path_is_read(files: dict[str, Path], tmp_path: Path) -> None:
    space, path = get_space("mobilenetv3"), tmp_path / "w.safetensors"
    architecture, settings = next(space.sequence(0)), {"width": 1.0, "pretrained": str(path)}
    tensors = load_file(files["mobilenetv3"])
    save_file(tensors, path)
    before = space.build(architecture, settings).state_dict()
    save_file({name: value + 1 if value.is_floating_point() else value for name, value in tensors.items()}, path)
    after = space.build(architecture, settings).state_dict()
    assert not torch.equal(before["stem.0.conv.weight"], after["stem.0.conv.weight"])


def test_cost_reads_no_weights() -> None:
    space, missing = get_space("proxylessnas"), {"width": 1.3, "pretrained": "missing.safetensors"}
    architecture = next(space.sequence(0))
    assert space.cost(architecture, (64, 64), missing) == space.cost(architecture, (64, 64), {"width": 1.3})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"pretrained": "w.safetensors"}, "one width: add it, as in --set body.width=1.0"),
        ({"pretrained": "w.safetensors", "width": 1.0}, "no such file: make it with `orchestrator fetch-weights`"),
        ({"pretrained": "w.pth", "width": 1.0}, "convert a checkpoint with `orchestrator fetch-weights FILE`"),
        ({"pretrained": "hub"}, "mobilenetv3 has no hub"),
        ({"pretrained": 3}, "must be none, hub or a .safetensors file"),
    ],
)
def test_unsuitable_settings_are_one_line_errors(body: dict[str, Any], message: str) -> None:
    space = get_space("mobilenetv3")
    with pytest.raises(RecipeError, match=message) as caught:
        space.build(next(space.sequence(0)), body)
    assert "\n" not in str(caught.value)


def test_kernel_transformations_are_stored_and_used(files: dict[str, Path]) -> None:
    space, shared = get_space("mobilenetv3"), loaded(files, "mobilenetv3")
    other = SharedWeights(space, [(a, build_without_head(a, {"width": 1.0})) for a in space.covering_architectures()])
    other.restore({name: value.clone() for name, value in shared.state_dict().items()})
    architecture = Architecture.of("mobilenetv3", {**space.covering_architectures()[0].values, "kernel": [3] * 20})
    network = build_without_head(architecture, {"width": 1.0})
    name = "body.stages.0.0.conv_dw.weight"
    one, two = (weights.slices(architecture, network)[name] for weights in (shared, other))
    assert torch.equal(one, two)
    del other.transforms["body/stages/0/0/conv_dw/weight:3"]
    assert not torch.equal(one, other.slices(architecture, network)[name])


def test_published_weights_are_prepared_without_training(files: dict[str, Path], tmp_path: Path) -> None:
    supernet = {"pretrained": str(files["mobilenetv3"])}
    recipe = load_shared_recipe("laptop", "seg", "mobilenetv3", {"body": {"width": 1.0}, "supernet": supernet})
    space = get_space("mobilenetv3")
    request = LabelRequest(next(space.sequence(0)), "seg", "shapes", "f", "shared", recipe, 0)
    headless = recipe.model_copy(update={"shared_head": recipe.shared_head.model_copy(update={"method": "none"})})
    prepared, steps = Preparation(ArtifactFolder(tmp_path), request, headless), list[PreparationStep]()
    prepared.make(steps.append)
    made = load_file(tmp_path / prepared.supernet_name / "weights.safetensors")
    expected = loaded(files, "mobilenetv3").state_dict()
    assert not steps
    assert made.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in made.items())


@pytest.mark.parametrize(
    ("space", "body", "file", "message"),
    [
        ("nasbench201", {}, "mobilenetv3", "no published weights of nasbench201: use mobilenetv3"),
        ("mobilenetv3", {}, "mobilenetv3", "have one width: add it, as in --set body.width=1.0"),
        ("mobilenetv3", {"width": 0.5}, "mobilenetv3", r"'first_conv.conv.weight' is \(16, 3, 3, 3\), not \(8, 3, 3"),
        ("mobilenetv3", {"width": 1.0}, "proxylessnas", "name weights of mobilenetv3"),
        ("resnet50", {}, "mobilenetv3", "has no 'input_stem.0.conv.weight'"),
        ("resnet50", {}, "missing", "no such file"),
        ("resnet50", {}, "torn", "not a readable safetensors file"),
    ],
)
def test_unsuitable_files_are_one_line_errors(
    space: str, body: dict[str, Any], file: str, message: str, files: dict[str, Path]
) -> None:
    path = files.get(file, files["mobilenetv3"].with_name(f"{file}.safetensors"))
    if file == "torn":
        path.write_bytes(files["mobilenetv3"].read_bytes()[:5000])
    with pytest.raises(RecipeError, match=message) as caught:
        published_fingerprint(path, get_space(space), body)
    assert "\n" not in str(caught.value)
