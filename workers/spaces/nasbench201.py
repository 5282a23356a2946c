"""NAS-Bench-201 cells (Dong and Yang, ICLR 2020) as the backbone of a four-level feature pyramid.

The published networks have three stages for 32x32 classification, and a stem that keeps the resolution. By default, the
cells here are stacked in four stages behind a stem with stride 4, so that dense tasks get the usual pyramid of strides
4, 8, 16 and 32. The settings `published_backbone` give the published networks.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from torch import Tensor, nn

from predictor.cost import Cost, measure_cost
from workers.errors import GenotypeError, RecipeError
from workers.messages.architecture import Architecture
from workers.spaces.base import Backbone, Space, register

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
# Edges (source, target) in the published order: 0-1; 0-2, 1-2; 0-3, 1-3, 2-3.
EDGES = tuple((source, target) for target in (1, 2, 3) for source in range(target))


class _Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0


def _conv(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return ReLU, convolution and batch norm, in the order of the published operations."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(c_out))


def _operation(name: str, channels: int) -> nn.Module:
    match name:
        case "none":
            return _Zero()
        case "skip_connect":
            return nn.Identity()
        case "avg_pool_3x3":
            return nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        case _:
            return _conv(channels, channels, 1 if name == "nor_conv_1x1" else 3)


class Cell(nn.Module):
    """Four nodes; every node sums its incoming edges. (N, C, H, W) to the same shape."""

    def __init__(self, ops: Sequence[str], channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(_operation(op, channels) for op in ops)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the output of the last node."""
        nodes = [x]
        for target in (1, 2, 3):
            terms = [edge(nodes[s]) for edge, (s, t) in zip(self.edges, EDGES, strict=True) if t == target]
            nodes.append(sum(terms[1:], terms[0]))
        return nodes[3]


class Reduction(nn.Module):
    """The published residual block between stages, which halves the resolution and changes the channels."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(_conv(c_in, c_out, 3, 2), _conv(c_out, c_out, 3))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(c_in, c_out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, c_in, H, W) to (N, c_out, H / 2, W / 2)."""
        out: Tensor = self.branch(x) + self.shortcut(x)
        return out


def _pool(c_in: int, c_out: int) -> nn.Sequential:
    """Return only the shortcut of `Reduction`, so that cells have all 3x3 convolutions."""
    return nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out))


_REDUCTIONS: dict[str, Callable[[int, int], nn.Module]] = {"residual": Reduction, "pool": _pool}


class CellBackbone(Backbone):
    """A stem and stages of cells, with reductions between them."""

    def __init__(self, ops: Sequence[str], channels: Sequence[int], cells: int, reduction: str, stem: int) -> None:
        """stem: its stride, 1 or 4."""
        super().__init__()
        self.channels, self.strides = tuple(channels), tuple(stem << level for level in range(len(channels)))
        first = channels[0]
        self.stem = nn.Sequential(nn.Conv2d(3, first, 3, 1 if stem == 1 else 2, 1, bias=False), nn.BatchNorm2d(first))
        if stem > 1:
            self.stem.append(_conv(first, first, 3, 2))
        stages = []
        for level, width in enumerate(channels):
            blocks = [_REDUCTIONS[reduction](channels[level - 1], width)] if level else []
            blocks += [Cell(ops, width) for _ in range(cells)]
            stages.append(nn.Sequential(*blocks, nn.BatchNorm2d(width), nn.ReLU()))
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute one feature map per stage, finest first."""
        x, pyramid = self.stem(images), []
        for stage in self.stages:
            x = stage(x)
            pyramid.append(x)
        return pyramid


def _connected(ops: Sequence[str]) -> bool:
    """Return whether a path leads from the cell's input to its output."""
    reached = {0}
    for op, (source, target) in zip(ops, EDGES, strict=True):
        if op != "none" and source in reached:
            reached.add(target)
    return max(EDGES)[1] in reached


@register
class NasBench201(Space):
    """15,625 cells: one of five operations on each of six edges. Those without a path can be built, but not sampled."""

    name = "nasbench201"
    default_backbone: Mapping[str, Any] = {
        "channels": [16, 32, 64, 128],
        "cells": 1,
        "reduction": "residual",
        "stem": 4,
    }
    published_backbone: Mapping[str, Any] = {"channels": [16, 32, 64], "cells": 5, "stem": 1}

    def random_genotype(self, rng: random.Random) -> dict[str, Any]:
        """Return six independent operations, sampled again if no path remains, as such a network ignores its input."""
        ops = [rng.choice(OPS) for _ in EDGES]
        return {"ops": ops} if _connected(ops) else self.random_genotype(rng)

    def mutate_genotype(self, genotype: dict[str, Any], rng: random.Random) -> dict[str, Any]:
        """Change the operation of one edge, chosen again if no path would remain."""
        ops = list(genotype["ops"])
        edge = rng.randrange(len(ops))
        ops[edge] = rng.choice([op for op in OPS if op != ops[edge]])
        return {"ops": ops} if _connected(ops) else self.mutate_genotype(genotype, rng)

    def cross(self, first: Architecture, second: Architecture, rng: random.Random) -> Architecture:
        """See `Space.cross`; the first if no path remains."""
        child = super().cross(first, second, rng)
        return child if _connected(child.values["ops"]) else first

    def covering_architectures(self) -> list[Architecture]:
        """Return two cells with the same convolution on all edges."""
        return [Architecture.of(self.name, {"ops": [op] * len(EDGES)}) for op in ("nor_conv_1x1", "nor_conv_3x3")]

    def shared_name(self, name: str, architecture: Architecture) -> str:
        """Add the operation to the name: a 1x1 convolution is not a slice of the 3x3 convolution on the same edge."""
        ops = architecture.values["ops"]
        return re.sub(r"\bedges\.(\d)\.", lambda match: f"edges.{match[1]}.{ops[int(match[1])]}.", name)

    def function(self, architecture: Architecture) -> str:
        """Return the sum that the cell's output is, with the number of convolutions in it.

        Skips are left out, terms are sorted, and edges from nodes that are always zero add nothing.
        """
        sums: list[list[str]] = [["x"], [], [], []]
        convolutions: list[set[int]] = [set(), set(), set(), set()]  # by node: edges that its value depends on
        for number, (op, (source, target)) in enumerate(zip(architecture.values["ops"], EDGES, strict=True)):
            convolves = op.startswith("nor_conv")
            if op == "none" or not (sums[source] or convolves):  # a convolution of zeros has a bias, from its norm
                continue
            sums[target] += sums[source] if op == "skip_connect" else [f"{op}({'+'.join(sorted(sums[source]))})"]
            convolutions[target] |= convolutions[source] | ({number} if convolves else set())
        return f"{'+'.join(sorted(sums[3]))}; {len(convolutions[3])} convolutions"

    def cost(
        self, architecture: Architecture, image: tuple[int, int], settings: Mapping[str, Any] | None = None
    ) -> Cost:
        """See `Space.cost`. An operation costs the same on every edge, so five networks are counted, once for all."""
        edges, named = Counter(self._checked_genotype(architecture)["ops"]), json.dumps(dict(settings or {}))
        rest = _cost_with("none", tuple(image), named)
        costs = [(count, _cost_with(op, tuple(image), named)) for op, count in edges.items()]
        return Cost(
            rest.flops + sum(count * (cost.flops - rest.flops) for count, cost in costs),
            rest.params + sum(count * (cost.params - rest.params) for count, cost in costs),
        )

    def check(self, genotype: dict[str, Any]) -> None:
        """Raise GenotypeError unless there are six known operations."""
        ops = genotype.get("ops")
        if not isinstance(ops, list) or len(ops) != len(EDGES) or any(op not in OPS for op in ops):
            raise GenotypeError(f"nasbench201 genotype {genotype}: 'ops' must be six of {', '.join(OPS)}")

    def encode(self, architecture: Architecture) -> Sequence[int]:
        """Return six indices in OPS."""
        return [OPS.index(op) for op in self._checked_genotype(architecture)["ops"]]

    def decode(self, code: Sequence[int]) -> Architecture:
        """Inverse of `encode`."""
        if len(code) != len(EDGES) or any(not 0 <= c < len(OPS) for c in code):
            raise GenotypeError(f"nasbench201 code {list(code)}: must be six numbers from 0 to {len(OPS) - 1}")
        return Architecture.of(self.name, {"ops": [OPS[c] for c in code]})

    def parse(self, text: str) -> Architecture:
        """Read a published string such as |nor_conv_3x3~0|+|none~0|skip_connect~1|+|...|."""
        matches = re.findall(r"\|([a-z0-9_]+)~(\d)(?=\|)", text)
        sources = [int(source) for _, source in matches]
        genotype = {"ops": [op for op, _ in matches]}
        if sources != [source for source, _ in EDGES]:
            raise GenotypeError(f"nasbench201 string '{text}': must list edges 0, 0 1, 0 1 2 as |OP~NODE|+|...|")
        self.check(genotype)
        return Architecture.of(self.name, genotype)

    def build_backbone(self, genotype: dict[str, Any], settings: Mapping[str, Any]) -> Backbone:
        """Build a backbone.

        Settings: `channels`, a list with one entry per stage; `cells`, the number of cells per stage; `reduction`,
        residual (as published) or pool; `stem`, its stride, 4, or 1 as published.
        """
        channels, cells, reduction, stem = (settings[k] for k in ("channels", "cells", "reduction", "stem"))
        if not isinstance(channels, list) or not channels or any(type(c) is not int or c < 1 for c in channels):
            raise RecipeError(f"body channels {channels}: must be positive whole numbers, one per stage")
        if stem not in (1, 4):
            raise RecipeError(f"body stem {stem}: must be 4, or 1 as published")
        if type(cells) is not int or cells < 1:
            raise RecipeError(f"body cells {cells}: must be a positive whole number")
        if reduction not in _REDUCTIONS:
            raise RecipeError(f"body reduction {reduction}: must be one of {', '.join(_REDUCTIONS)}")
        return CellBackbone(genotype["ops"], channels, cells, reduction, stem)


@cache
def _cost_with(op: str, image: tuple[int, int], settings: str) -> Cost:
    """Return the cost of a cell with `op` on its first edge and none on the others. settings: as JSON."""
    space, ops = NasBench201(), [op] + ["none"] * (len(EDGES) - 1)
    return measure_cost(space.skeleton(space.architecture({"ops": ops}), json.loads(settings)), (3, *image))
