"""Graphs: what is a node, what is an edge, what they say, and what a module may do without changing them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from predictor import measure_cost
from predictor.graph import Graph, Node, TraceError, trace
from tests.support.graph_modules import Of

SIZE = (3, 32, 32)


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def test_a_small_network_in_full() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 5, 1, 4, dilation=2, groups=8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10),
    )
    found = trace(network, SIZE)
    assert found.nodes == (
        Node("input", (), 3, 3, 1024, 1024),
        Node("conv", (0,), 3, 8, 1024, 256, (3, 3), (2, 2), params=216, flops=2 * 216 * 256),
        Node("batch_norm", (1,), 8, 8, 256, 256, params=16),
        Node("relu", (2,), 8, 8, 256, 256),
        Node("depthwise_conv", (3,), 8, 8, 256, 256, (5, 5), (1, 1), (2, 2), 8, True, params=208, flops=2 * 200 * 256),
        Node("mean", (4,), 8, 8, 256, 1),
        Node("linear", (5,), 8, 10, 1, 1, bias=True, params=90, flops=160),
        Node("output", (6,), 10, 10, 1, 1),
    )
    assert found.edges == [(i, i + 1) for i in range(7)]
    assert (found.params, found.flops) == (530, measure_cost(network, SIZE).flops)
    assert Graph.from_json(found.to_json()) == found
    assert Graph.from_json(found.to_json()).id == found.id


def conv(**kwargs: Any) -> nn.Conv2d:
    return nn.Conv2d(3, 4, 3, **kwargs)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (lambda: nn.Sequential(conv(), nn.ReLU()), lambda: Of(lambda m, x: F.relu(m.other_name(x)), other_name=conv())),
        (lambda: nn.Sequential(conv(), nn.ReLU()), lambda: nn.Sequential(conv(), nn.ReLU(inplace=True))),
        (
            lambda: nn.Sequential(conv(), nn.SiLU()),
            lambda: Of(lambda m, x: F.silu(m.c(x).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)), c=conv()),
        ),
        (lambda: Of(lambda m, x: m.c(x) + 1, c=conv()), lambda: Of(lambda m, x: m.c(x).add_(1), c=conv())),
        (lambda: nn.Sequential(conv(), nn.Dropout(0.5)), conv),
        (lambda: Of(lambda m, x: (m.c(x), m.unused(x))[0], c=conv(), unused=conv()), conv),
        (
            lambda: Of(lambda m, x: {"a": m.c(x), "b": m.c(x)}, c=conv()),
            lambda: Of(lambda m, x: [m.c(x), m.c(x)], c=conv()),
        ),
    ],
    ids=["names", "in place", "layout", "in-place sum", "dropout", "dead branch", "containers"],
)
def test_how_it_is_written_does_not_matter(one: Callable[[], nn.Module], two: Callable[[], nn.Module]) -> None:
    assert trace(one(), SIZE).id == trace(two(), SIZE).id


def test_weights_that_are_computed_are_no_nodes() -> None:
    def standardised(m: Any, x: Tensor) -> Any:
        weight = m.c.weight - m.c.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight / weight.std(), m.c.bias)

    found = trace(Of(standardised, c=conv()), SIZE)
    assert ops(found) == ["input", "conv", "output"]
    assert found.params == 3 * 4 * 9 + 4


def test_shared_weights_count_once() -> None:
    found = trace(Of(lambda m, x: m.c(m.c(x)), c=nn.Conv2d(3, 3, 3)), SIZE)
    assert [node.params for node in found.nodes] == [0, 84, 0, 0]


def test_what_is_written_through_a_view_is_read_from_the_whole() -> None:
    def body(m: Any, x: Tensor) -> Tensor:
        y = m.c(x)
        y[:, :2] = y[:, 2:].sigmoid()
        return y.relu()

    found = trace(Of(body, c=conv()), SIZE)
    assert ops(found) == ["input", "conv", "slice", "sigmoid", "slice", "concat", "relu", "output"]
    written, read = found.nodes[5], found.nodes[6]
    assert 3 in written.inputs
    assert read.inputs == (5,)


def test_constants_may_live_on_a_real_device() -> None:
    grid = torch.linspace(0, 1, 32)
    found = trace(Of(lambda m, x: x * grid * float(torch.arange(5).sum())), SIZE)
    assert ops(found) == ["input", "mul", "mul", "output"]


def test_what_has_but_the_size_of_a_tensor_is_constant() -> None:
    found = trace(Of(lambda m, x: x + torch.zeros_like(x) + x.new_ones(32)), SIZE)
    assert ops(found) == ["input", "add", "add", "output"]
    assert found.nodes[1].inputs == (0,)


def test_what_nobody_listed_is_kept() -> None:
    assert ops(trace(Of(lambda m, x: torch.special.i0(x)), SIZE)) == ["input", "other", "output"]


def test_attention_looks_the_same_fused_or_not() -> None:
    def plain(m: Any, x: Tensor) -> Tensor:
        q = m.proj(x.flatten(2).transpose(1, 2))[:, None]
        return ((q * 8**-0.25) @ (q.transpose(-1, -2) * 8**-0.25)).softmax(-1) @ q

    def fused(m: Any, x: Tensor) -> Tensor:
        q = m.proj(x.flatten(2).transpose(1, 2))[:, None]
        return F.scaled_dot_product_attention(q, q, q)

    one, two = (trace(Of(body, proj=nn.Linear(3, 8)), (3, 8, 8)) for body in (plain, fused))
    assert ops(one) == ops(two)
    assert "softmax" in ops(one)


def test_the_module_is_left_alone() -> None:
    network = nn.Sequential(conv(), nn.BatchNorm2d(4), nn.Sequential(nn.Dropout())).train()
    network[2].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trace(network, SIZE)
    assert [m.training for m in network.modules()] == [True, True, True, False, False]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not next(network.parameters()).is_meta


@pytest.mark.parametrize(
    ("module", "size", "message"),
    [
        (Of(lambda m, x: x if x.sum() > 0 else -x), SIZE, "depends on the values of tensors"),
        (Of(lambda m, x: x[x > 0]), SIZE, "depends on the values of tensors"),
        (Of(lambda m, x: m.c(x.flatten(1)), c=nn.Linear(7, 2)), SIZE, "cannot run on an image of 3x32x32"),
        (conv(), (3, 0, 32), r"input size \(3, 0, 32\): must be"),
        (Of(lambda m, x: torch.zeros(3)), SIZE, "no output depends on the image"),
        (Of(lambda m, x: x.nothing), SIZE, "cannot run"),
    ],
)
def test_what_gives_no_graph_says_why_in_one_line(module: nn.Module, size: tuple[int, int, int], message: str) -> None:
    with pytest.raises(TraceError, match=message) as refusal:
        trace(module, size)
    assert "\n" not in str(refusal.value)


FAMILIES = (
    "resnet18 mobilenetv3_small_100 efficientnet_b0 convnext_atto vit_tiny_patch16_224 swin_tiny_patch4_window7_224 "
    "mixer_s32_224 edgenext_xx_small regnetx_002 densenet121 maxvit_rmlp_pico_rw_256 ghostnet_100 nf_regnet_b0"
)


@pytest.mark.parametrize("name", FAMILIES.split())
def test_families_of_timm(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    size = model.default_cfg["input_size"]
    found = trace(model, size)
    assert found.params == sum(p.numel() for p in model.parameters())
    assert found.flops == measure_cost(model, size).flops
    assert "other" not in ops(found)
    assert found == trace(model, size)


def drawn() -> list[str]:
    """300 models of timm, of all families."""
    names: list[str] = timm.list_models()
    random.Random(0).shuffle(names)
    return names[:300]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_tracing_is_faster_than_torch_export() -> None:
    """20 of the same 300, both on the meta device; prints the seconds of each, and the medians' ratio."""
    ours, theirs = list[float](), list[float]()
    for name in drawn()[::15]:
        with torch.device("meta"):
            model = timm.create_model(name).eval()
        size = model.default_cfg.get("input_size", (3, 224, 224))
        begun = time.perf_counter()
        trace(model, size)
        between = time.perf_counter()
        try:
            torch.export.export(model, (torch.empty(1, *size, device="meta"),))
        except Exception as error:
            print(f"{name}: no export ({type(error).__name__})")
            continue
        ours.append(between - begun)
        theirs.append(time.perf_counter() - between)
        print(f"{name}: {ours[-1]:.2f} s, export {theirs[-1]:.2f} s", flush=True)
    ratio = np.median(theirs) / np.median(ours)
    print(f"{len(ours)} models, median {np.median(ours):.3f} s, export {np.median(theirs):.3f} s, ratio {ratio:.1f}")
    assert ratio > 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nearly_all_of_timm() -> None:
    """300 models drawn from all families; prints those that fail, and the median of the seconds."""
    failed, seconds = list[str](), list[float]()
    for name in drawn():
        with torch.device("meta"):
            model = timm.create_model(name)
        begun = time.perf_counter()
        try:
            trace(model, model.default_cfg.get("input_size", (3, 224, 224)))
        except TraceError as error:
            failed.append(str(error))
        seconds.append(time.perf_counter() - begun)
    print(f"\n{300 - len(failed)} of 300, median {sorted(seconds)[150]:.3f} s", *failed, sep="\n")
    assert len(failed) <= 6


def test_the_example_of_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "howto" / "graph-a-network.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    exec(compile(code, "graph-a-network.md", "exec"), {})


def test_a_branch_times_zero_is_switched_off() -> None:
    def body(self: Any, x: Tensor) -> Tensor:
        return self.conv(x) * 0 + x * 0.5

    graph = trace(Of(body, conv=nn.Conv2d(3, 3, 1)), SIZE)
    assert [node.op for node in graph.nodes] == ["input", "conv", "zero", "mul", "add", "output"]


def test_operations_alike_are_told_apart() -> None:
    def body(self: Any, x: Tensor) -> Tensor:
        first = torch.relu(self.one(x)).unsqueeze_(0).mul_(2)  # changes the form of its own result alone
        second = torch.relu(self.two(x))
        return self.three(second) + first.squeeze(0)

    convs = [nn.Conv2d(3, 3, 3, padding=1) for _ in range(3)]
    graph = trace(Of(body, one=convs[0], two=convs[1], three=convs[2]), SIZE)
    assert [node.op for node in graph.nodes] == "input conv relu mul conv relu conv add output".split()  # noqa: SIM905
    assert [node.inputs for node in graph.nodes] == [(), (0,), (1,), (2,), (0,), (4,), (5,), (6, 3), (7,)]
    assert graph.params == 3 * (3 * 3 * 9 + 3)
