"""Traced graphs: their nodes and edges, and ways to write a module that do not change its graph."""

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
from tests.support.graph_modules import FunctionModule

SIZE = (3, 32, 32)


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def test_all_nodes_of_a_small_network() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 5, 1, 4, dilation=2, groups=8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10),
    )
    graph = trace(network, SIZE)
    assert graph.nodes == (
        Node("input", (), 3, 3, 1024, 1024),
        Node("conv", (0,), 3, 8, 1024, 256, (3, 3), (2, 2), params=216, flops=2 * 216 * 256),
        Node("batch_norm", (1,), 8, 8, 256, 256, params=16),
        Node("relu", (2,), 8, 8, 256, 256),
        Node("depthwise_conv", (3,), 8, 8, 256, 256, (5, 5), (1, 1), (2, 2), 8, True, params=208, flops=2 * 200 * 256),
        Node("mean", (4,), 8, 8, 256, 1),
        Node("linear", (5,), 8, 10, 1, 1, bias=True, params=90, flops=160),
        Node("output", (6,), 10, 10, 1, 1),
    )
    assert graph.edges == [(i, i + 1) for i in range(7)]
    assert (graph.params, graph.flops) == (530, measure_cost(network, SIZE).flops)
    assert Graph.from_json(graph.to_json()) == graph
    assert Graph.from_json(graph.to_json()).id == graph.id


def conv(**kwargs: Any) -> nn.Conv2d:
    return nn.Conv2d(3, 4, 3, **kwargs)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            lambda: nn.Sequential(conv(), nn.ReLU()),
            lambda: FunctionModule(lambda m, x: F.relu(m.other_name(x)), other_name=conv()),
        ),
        (lambda: nn.Sequential(conv(), nn.ReLU()), lambda: nn.Sequential(conv(), nn.ReLU(inplace=True))),
        (
            lambda: nn.Sequential(conv(), nn.SiLU()),
            lambda: FunctionModule(
                lambda m, x: F.silu(m.c(x).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)), c=conv()
            ),
        ),
        (
            lambda: FunctionModule(lambda m, x: m.c(x) + 1, c=conv()),
            lambda: FunctionModule(lambda m, x: m.c(x).add_(1), c=conv()),
        ),
        (lambda: nn.Sequential(conv(), nn.Dropout(0.5)), conv),
        (lambda: FunctionModule(lambda m, x: (m.c(x), m.unused(x))[0], c=conv(), unused=conv()), conv),
        (
            lambda: FunctionModule(lambda m, x: {"a": m.c(x), "b": m.c(x)}, c=conv()),
            lambda: FunctionModule(lambda m, x: [m.c(x), m.c(x)], c=conv()),
        ),
    ],
    ids=["names", "in place", "layout", "in-place sum", "dropout", "dead branch", "containers"],
)
def test_equal_networks_have_equal_graphs(first: Callable[[], nn.Module], second: Callable[[], nn.Module]) -> None:
    assert trace(first(), SIZE).id == trace(second(), SIZE).id


def test_computations_on_weights_are_not_nodes() -> None:
    def standardised(m: Any, x: Tensor) -> Any:
        weight = m.c.weight - m.c.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight / weight.std(), m.c.bias)

    graph = trace(FunctionModule(standardised, c=conv()), SIZE)
    assert ops(graph) == ["input", "conv", "output"]
    assert graph.params == 3 * 4 * 9 + 4


def test_shared_weights_count_once() -> None:
    graph = trace(FunctionModule(lambda m, x: m.c(m.c(x)), c=nn.Conv2d(3, 3, 3)), SIZE)
    assert [node.params for node in graph.nodes] == [0, 84, 0, 0]


def test_a_write_through_a_view_changes_the_whole_tensor() -> None:
    def function(m: Any, x: Tensor) -> Tensor:
        y = m.c(x)
        y[:, :2] = y[:, 2:].sigmoid()
        return y.relu()

    graph = trace(FunctionModule(function, c=conv()), SIZE)
    assert ops(graph) == ["input", "conv", "slice", "sigmoid", "slice", "concat", "relu", "output"]
    written, read = graph.nodes[5], graph.nodes[6]
    assert 3 in written.inputs
    assert read.inputs == (5,)


def test_constants_may_be_on_a_real_device() -> None:
    grid = torch.linspace(0, 1, 32)
    graph = trace(FunctionModule(lambda m, x: x * grid * float(torch.arange(5).sum())), SIZE)
    assert ops(graph) == ["input", "mul", "mul", "output"]


def test_tensors_made_from_the_size_of_another_are_constant() -> None:
    graph = trace(FunctionModule(lambda m, x: x + torch.zeros_like(x) + x.new_ones(32)), SIZE)
    assert ops(graph) == ["input", "add", "add", "output"]
    assert graph.nodes[1].inputs == (0,)


def test_unknown_operations_are_nodes_of_the_graph() -> None:
    assert ops(trace(FunctionModule(lambda m, x: torch.special.i0(x)), SIZE)) == ["input", "other", "output"]


def test_fused_attention_has_the_nodes_of_plain_attention() -> None:
    def plain(m: Any, x: Tensor) -> Tensor:
        q = m.proj(x.flatten(2).transpose(1, 2))[:, None]
        return ((q * 8**-0.25) @ (q.transpose(-1, -2) * 8**-0.25)).softmax(-1) @ q

    def fused(m: Any, x: Tensor) -> Tensor:
        q = m.proj(x.flatten(2).transpose(1, 2))[:, None]
        return F.scaled_dot_product_attention(q, q, q)

    graphs = [trace(FunctionModule(function, proj=nn.Linear(3, 8)), (3, 8, 8)) for function in (plain, fused)]
    assert ops(graphs[0]) == ops(graphs[1])
    assert "softmax" in ops(graphs[0])


def test_the_module_is_unchanged() -> None:
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
        (FunctionModule(lambda m, x: x if x.sum() > 0 else -x), SIZE, "depends on the values of tensors"),
        (FunctionModule(lambda m, x: x[x > 0]), SIZE, "depends on the values of tensors"),
        (FunctionModule(lambda m, x: m.c(x.flatten(1)), c=nn.Linear(7, 2)), SIZE, "cannot run on an image of 3x32x32"),
        (conv(), (3, 0, 32), r"input size \(3, 0, 32\): must be"),
        (FunctionModule(lambda m, x: torch.zeros(3)), SIZE, "no output depends on the image"),
        (FunctionModule(lambda m, x: x.nothing), SIZE, "cannot run"),
    ],
)
def test_errors_are_one_line(module: nn.Module, size: tuple[int, int, int], message: str) -> None:
    with pytest.raises(TraceError, match=message) as error:
        trace(module, size)
    assert "\n" not in str(error.value)


FAMILIES = (
    "resnet18 mobilenetv3_small_100 efficientnet_b0 convnext_atto vit_tiny_patch16_224 swin_tiny_patch4_window7_224 "
    "mixer_s32_224 edgenext_xx_small regnetx_002 densenet121 maxvit_rmlp_pico_rw_256 ghostnet_100 nf_regnet_b0"
)


@pytest.mark.parametrize("name", FAMILIES.split())
def test_families_of_timm(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    size = model.default_cfg["input_size"]
    graph = trace(model, size)
    assert graph.params == sum(p.numel() for p in model.parameters())
    assert graph.flops == measure_cost(model, size).flops
    assert "other" not in ops(graph)
    assert graph == trace(model, size)


def random_models() -> list[str]:
    """Return 300 random models of timm."""
    names: list[str] = timm.list_models()
    random.Random(0).shuffle(names)
    return names[:300]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_tracing_is_faster_than_torch_export() -> None:
    """20 of the 300 models, on the meta device; prints the seconds of each, and the ratio of the medians."""
    seconds, export_seconds = list[float](), list[float]()
    for name in random_models()[::15]:
        with torch.device("meta"):
            model = timm.create_model(name).eval()
        size = model.default_cfg.get("input_size", (3, 224, 224))
        start = time.perf_counter()
        trace(model, size)
        traced = time.perf_counter()
        try:
            torch.export.export(model, (torch.empty(1, *size, device="meta"),))
        except Exception as error:
            print(f"{name}: no export ({type(error).__name__})")
            continue
        seconds.append(traced - start)
        export_seconds.append(time.perf_counter() - traced)
        print(f"{name}: {seconds[-1]:.2f} s, export {export_seconds[-1]:.2f} s", flush=True)
    median, export_median = np.median(seconds), np.median(export_seconds)
    ratio = export_median / median
    print(f"{len(seconds)} models, median {median:.3f} s, export {export_median:.3f} s, ratio {ratio:.1f}")
    assert ratio > 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nearly_all_of_timm() -> None:
    """300 random models; prints the failures, and the median of the seconds."""
    failed, seconds = list[str](), list[float]()
    for name in random_models():
        with torch.device("meta"):
            model = timm.create_model(name)
        start = time.perf_counter()
        try:
            trace(model, model.default_cfg.get("input_size", (3, 224, 224)))
        except TraceError as error:
            failed.append(str(error))
        seconds.append(time.perf_counter() - start)
    print(f"\n{300 - len(failed)} of 300, median {sorted(seconds)[150]:.3f} s", *failed, sep="\n")
    assert len(failed) <= 6


def test_the_example_of_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "howto" / "graph-a-network.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    exec(compile(code, "graph-a-network.md", "exec"), {})


def test_a_product_with_zero_is_a_node_of_its_own_kind() -> None:
    def function(self: Any, x: Tensor) -> Tensor:
        return self.conv(x) * 0 + x * 0.5

    graph = trace(FunctionModule(function, conv=nn.Conv2d(3, 3, 1)), SIZE)
    assert [node.op for node in graph.nodes] == ["input", "conv", "zero", "mul", "add", "output"]


def test_a_network_that_zeros_cut_in_two_is_still_a_graph() -> None:
    def function(self: Any, x: Tensor) -> Tensor:
        return self.second(torch.zeros_like(self.first(x)))

    convs = {name: nn.Conv2d(3, 3, 1, bias=False) for name in ("first", "second")}
    graph = trace(FunctionModule(function, **convs), SIZE)
    assert ops(graph) == ["input", "conv", "zero", "conv", "output"]
    assert graph.params == 18


def test_sizes_of_maps_may_be_read_from_tensors() -> None:
    def function(self: Any, x: Tensor) -> Tensor:
        height, width = torch._shape_as_tensor(x)[2:].to(x.device)
        return x.reshape(1, 3, height * width).relu()

    assert ops(trace(FunctionModule(function), SIZE)) == ["input", "relu", "output"]


def test_operations_with_equal_shapes_are_separate_nodes() -> None:
    def function(self: Any, x: Tensor) -> Tensor:
        first = torch.relu(self.one(x)).unsqueeze_(0).mul_(2)  # changes the shape of its own result only
        second = torch.relu(self.two(x))
        return self.three(second) + first.squeeze(0)

    convs = [nn.Conv2d(3, 3, 3, padding=1) for _ in range(3)]
    graph = trace(FunctionModule(function, one=convs[0], two=convs[1], three=convs[2]), SIZE)
    assert [node.op for node in graph.nodes] == "input conv relu mul conv relu conv add output".split()  # noqa: SIM905
    assert [node.inputs for node in graph.nodes] == [(), (0,), (1,), (2,), (0,), (4,), (5,), (6, 3), (7,)]
    assert graph.params == 3 * (3 * 3 * 9 + 3)
