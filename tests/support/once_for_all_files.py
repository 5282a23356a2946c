"""Files with the layout of published Once-for-All weights and random values, and the paper's own elastic forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

Tensors = dict[str, Tensor]
SCALE = torch.tensor([60 / (255 * s) for s in (0.229, 0.224, 0.225)])[:, None, None]
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


def kernel_centres(t: Tensors, name: str, channels: int, size: int) -> Tensor:
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
            weight = kernel_centres(t, f"{name}.depth_conv.conv", mid, genotype["kernel"][slot])
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
