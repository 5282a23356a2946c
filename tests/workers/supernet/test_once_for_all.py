"""Published Once-for-All weights: sub-networks equal those of the paper's own slicing rules, reimplemented here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from safetensors.torch import load_file, save_file
from torch import Tensor

from workers.errors import RecipeError
from workers.messages.architecture import Architecture
from workers.messages.label import LabelRequest
from workers.messages.shared_recipe import load_shared_recipe
from workers.spaces import get_space
from workers.storage.artifacts import ArtifactFolder
from workers.supernet.backbones import build_without_head
from workers.supernet.once_for_all import load_published, published_fingerprint
from workers.supernet.preparation_step import PreparationStep
from workers.supernet.prepare import Preparation
from workers.supernet.weights import SharedWeights

Tensors = dict[str, Tensor]
_SCALE = torch.tensor([60 / (255 * s) for s in (0.229, 0.224, 0.225)])[:, None, None]
_MBV3 = ((16, 24, 40, 80, 112, 160), (2, 2, 2, 1, 2), (False, True, False, True, True), (4,) * 5)
_PROXYLESS = ((24, 32, 56, 104, 128, 248, 416), (2, 2, 2, 1, 2, 1), (False,) * 6, (4,) * 5 + (1,))  # at width 1.3


def divisible(value: float) -> int:
    """Their rounding of channels."""
    new = max(8, int(value + 4) // 8 * 8)
    return new + 8 if new < 0.9 * value else new


class _Weights:
    """Random tensors under the names of the published files."""

    def __init__(self) -> None:
        self.tensors: Tensors = {}
        self._rng = torch.Generator().manual_seed(0)

    def conv(self, name: str, c_out: int, c_in: int, kernel: int) -> None:
        weight = torch.randn(c_out, c_in, kernel, kernel, generator=self._rng)
        self.tensors[name] = weight / (c_in * kernel * kernel) ** 0.5

    def norm(self, name: str, channels: int) -> None:
        draw = lambda: torch.rand(channels, generator=self._rng)  # noqa: E731
        self.tensors |= {f"{name}.weight": 0.5 + draw(), f"{name}.bias": draw() - 0.5}
        self.tensors |= {f"{name}.running_mean": draw() - 0.5, f"{name}.running_var": 0.5 + draw()}
        self.tensors[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def matrix(self, name: str, side: int) -> None:
        self.tensors[name] = torch.eye(side) + 0.1 * torch.randn(side, side, generator=self._rng)


def inverted(first: int, widths: tuple[int, ...], blocks: tuple[int, ...], se: tuple[bool, ...]) -> Tensors:
    """The published file of mobilenetv3 or proxylessnas."""
    w, c_in = _Weights(), widths[0]
    w.conv("first_conv.conv.weight", first, 3, 3)
    w.norm("first_conv.bn", first)
    w.conv("blocks.0.mobile_inverted_conv.depth_conv.conv.weight", first, 1, 3)
    w.norm("blocks.0.mobile_inverted_conv.depth_conv.bn", first)
    w.conv("blocks.0.mobile_inverted_conv.point_linear.conv.weight", c_in, first, 1)
    w.norm("blocks.0.mobile_inverted_conv.point_linear.bn", c_in)
    number = 1
    for width, count, squeeze in zip(widths[1:], blocks, se, strict=True):
        for _ in range(count):
            name, mid = f"blocks.{number}.mobile_inverted_conv", divisible(c_in * 6)
            w.conv(f"{name}.inverted_bottleneck.conv.conv.weight", mid, c_in, 1)
            w.norm(f"{name}.inverted_bottleneck.bn.bn", mid)
            w.conv(f"{name}.depth_conv.conv.conv.weight", mid, 1, 7)
            w.matrix(f"{name}.depth_conv.conv.7to5_matrix", 25)
            w.matrix(f"{name}.depth_conv.conv.5to3_matrix", 9)
            w.norm(f"{name}.depth_conv.bn.bn", mid)
            if squeeze:
                for part, (o, i) in {
                    "reduce": (divisible(mid // 4), mid),
                    "expand": (mid, divisible(mid // 4)),
                }.items():
                    w.conv(f"{name}.depth_conv.se.fc.{part}.weight", o, i, 1)
                    w.tensors[f"{name}.depth_conv.se.fc.{part}.bias"] = torch.linspace(-1, 1, o)
            w.conv(f"{name}.point_linear.conv.conv.weight", width, mid, 1)
            w.norm(f"{name}.point_linear.bn.bn", width)
            number, c_in = number + 1, width
    w.conv("classifier.linear.weight", 10, c_in, 1)
    return w.tensors


def bottlenecks() -> Tensors:
    """The published file of resnet50."""
    w, c_in, number = _Weights(), 64, 0
    for name, c_out, channels in (("0.", 32, 3), ("1.conv.", 32, 32), ("2.", 64, 32)):
        w.conv(f"input_stem.{name}conv.conv.weight", c_out, channels, 3)
        w.norm(f"input_stem.{name}bn.bn", c_out)
    for width, count in zip((256, 512, 1024, 2048), (4, 4, 6, 4), strict=True):
        for i in range(count):
            name, mid = f"blocks.{number}", divisible(round(width * 0.35))
            for part, (c_out, channels, kernel) in enumerate(((mid, c_in, 1), (mid, mid, 3), (width, mid, 1)), 1):
                w.conv(f"{name}.conv{part}.conv.conv.weight", c_out, channels, kernel)
                w.norm(f"{name}.conv{part}.bn.bn", c_out)
            if i == 0:
                w.conv(f"{name}.downsample.conv.conv.weight", width, c_in, 1)
                w.norm(f"{name}.downsample.bn.bn", width)
            number, c_in = number + 1, width
    return w.tensors


def conv(t: Tensors, name: str, x: Tensor, c_out: int, **options: Any) -> Tensor:
    weight = t[name][:c_out, : x.shape[1]]
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2, **options)


def norm(t: Tensors, name: str, x: Tensor, eps: float) -> Tensor:
    parts = (t[f"{name}.{p}"][: x.shape[1]] for p in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *parts, eps=eps)


def mmcv_ops(t: Tensors, name: str, channels: int, size: int) -> Tensor:
    """Cut the kernels to their centres step by step, each multiplied by its matrix."""
    weight = t[f"{name}.conv.weight"][:channels]
    for source in (7, 5):
        if size < source:
            centre = weight[:, :, 1:-1, 1:-1].reshape(-1, (source - 2) ** 2)
            weight = F.linear(centre, t[f"{name}.{source}to{source - 2}_matrix"]).view(channels, 1, source - 2, -1)
    return weight


def run_inverted(
    t: Tensors,
    genotype: dict[str, Any],
    layout: tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...], tuple[int, ...]],
    acts: list[Callable[[Tensor], Tensor]],
    eps: float,
    x: Tensor,
) -> Tensor:
    """The last feature map of one sub-network."""
    widths, strides, se, most = layout
    x = acts[0](norm(t, "first_conv.bn", F.conv2d(x, t["first_conv.conv.weight"], stride=2, padding=1), eps))
    name, first = "blocks.0.mobile_inverted_conv", x
    weight = t[f"{name}.depth_conv.conv.weight"]
    x = acts[1](norm(t, f"{name}.depth_conv.bn", F.conv2d(x, weight, padding=1, groups=len(weight)), eps))
    x = norm(t, f"{name}.point_linear.bn", conv(t, f"{name}.point_linear.conv.weight", x, widths[0]), eps)
    x = x + first if first.shape == x.shape else x
    depths, slot, start = [*genotype["depth"], 1], 0, 1
    for stage, (width, stride) in enumerate(zip(widths[1:], strides, strict=True)):
        act = acts[2 + stage]
        for i in range(depths[stage]):
            name, before = f"blocks.{start + i}.mobile_inverted_conv", x
            mid = divisible(round(x.shape[1] * genotype["expansion"][slot]))
            y = act(
                norm(
                    t,
                    f"{name}.inverted_bottleneck.bn.bn",
                    conv(t, f"{name}.inverted_bottleneck.conv.conv.weight", x, mid),
                    eps,
                )
            )
            weight = mmcv_ops(t, f"{name}.depth_conv.conv", mid, genotype["kernel"][slot])
            y = F.conv2d(y, weight, stride=stride if i == 0 else 1, padding=weight.shape[-1] // 2, groups=mid)
            y = act(norm(t, f"{name}.depth_conv.bn.bn", y, eps))
            if se[stage]:
                gate, fc, inner = y.mean((2, 3), keepdim=True), f"{name}.depth_conv.se.fc", divisible(mid // 4)
                gate = F.relu(conv(t, f"{fc}.reduce.weight", gate, inner, bias=t[f"{fc}.reduce.bias"][:inner]))
                gate = conv(t, f"{fc}.expand.weight", gate, mid, bias=t[f"{fc}.expand.bias"][:mid])
                y = y * F.relu6(gate + 3) / 6
            y = norm(t, f"{name}.point_linear.bn.bn", conv(t, f"{name}.point_linear.conv.conv.weight", y, width), eps)
            x, slot = y + before if y.shape == before.shape else y, slot + 1
        start += most[stage]
    return x


def run_bottlenecks(t: Tensors, genotype: dict[str, Any], x: Tensor) -> Tensor:
    inner, outer, *widths = genotype["width"]
    mid = divisible(divisible(64 * inner) // 2)
    layer = lambda n, c, x, **o: F.relu(norm(t, f"{n}bn.bn", conv(t, f"{n}conv.conv.weight", x, c, **o), 1e-5))  # noqa: E731
    x = layer("input_stem.0.", mid, x, stride=2)
    x = x + layer("input_stem.1.conv.", mid, x) if genotype["stem"] else x
    x = F.max_pool2d(layer("input_stem.2.", divisible(64 * outer), x), 3, 2, 1)
    slot = start = 0
    for stage, (base, width) in enumerate(zip((256, 512, 1024, 2048), widths, strict=True)):
        c_out = divisible(base * width)
        for i in range((2, 2, 4, 2)[stage] + genotype["depth"][stage]):
            name, stride, residual = f"blocks.{start + i}.", 2 if stage and i == 0 else 1, x
            if i == 0:
                residual = F.avg_pool2d(x, stride, stride, ceil_mode=True)
                residual = conv(t, f"{name}downsample.conv.conv.weight", residual, c_out)
                residual = norm(t, f"{name}downsample.bn.bn", residual, 1e-5)
            y = layer(f"{name}conv1.", divisible(round(c_out * genotype["expansion"][slot])), x)
            y = layer(f"{name}conv2.", y.shape[1], y, stride=stride)
            y = norm(t, f"{name}conv3.bn.bn", conv(t, f"{name}conv3.conv.conv.weight", y, c_out), 1e-5)
            x, slot = F.relu(y + residual), slot + 1
        start += (4, 4, 6, 4)[stage]
    return x


def reference(space: str, t: Tensors, genotype: dict[str, Any], x: Tensor) -> Tensor:
    if space == "resnet50":
        return run_bottlenecks(t, genotype, x)
    if space == "mobilenetv3":
        return run_inverted(t, genotype, _MBV3, [F.hardswish, *[F.relu] * 3, *[F.hardswish] * 3], 1e-5, x)
    return run_inverted(t, genotype, _PROXYLESS, [F.relu6] * 8, 1e-3, x)


FILES: dict[str, tuple[Callable[[], Tensors], dict[str, Any]]] = {
    "mobilenetv3": (lambda: inverted(16, _MBV3[0], _MBV3[3], _MBV3[2]), {"width": 1.0}),
    "proxylessnas": (lambda: inverted(40, _PROXYLESS[0], _PROXYLESS[3], _PROXYLESS[2]), {"width": 1.3}),
    "resnet50": (bottlenecks, {}),
}


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


@pytest.mark.parametrize("name", FILES)
@torch.no_grad()
def test_sub_networks_equal_the_published_networks(name: str, files: dict[str, Path]) -> None:
    space, (make, settings), shared = get_space(name), FILES[name], loaded(files, name)
    tensors, images = make(), torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    smallest = space.smallest_architecture()
    assert smallest is not None
    for architecture in (smallest, next(space.sequence(0))):
        network = build_without_head(architecture, settings).eval()
        shared.copy_into(architecture, network)
        expected = reference(name, tensors, architecture.values, images * _SCALE)
        actual = network.body(images)[-1]
        assert actual.shape == expected.shape
        assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


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
        ("resnet50", {}, "missing", "cannot be read"),
        ("resnet50", {}, "torn", "cannot be read"),
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
