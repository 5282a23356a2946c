"""The MobileNetV3 space of Once-for-All (Cai et al., ICLR 2020), built from timm's own blocks.

Five stages of 2 to 4 inverted residuals, each with its kernel (3, 5, 7) and expansion (3, 4, 6). The width
multiplier is part of the genotype, among the choices named by `WIDTHS`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from timm.layers import SqueezeExcite, make_divisible
from timm.models._efficientnet_blocks import ConvBnAct, DepthwiseSeparableConv, InvertedResidual
from torch import Tensor, nn

from workers.architecture import Architecture
from workers.errors import GenotypeError
from workers.spaces.base import Body, Space, register

DEPTHS, KERNELS, EXPANSIONS = (2, 3, 4), (3, 5, 7), (3, 4, 6)
WIDTHS = (0.5, 0.75, 1.0)
_STAGES = 5
_SLOTS = _STAGES * max(DEPTHS)
# Channels, stride, squeeze-excite and activation of the five stages, as in the paper's MobileNetV3-Large.
_CHANNELS = (24, 40, 80, 112, 160)
_STRIDES = (2, 2, 2, 1, 2)
_SE = (False, True, False, True, True)
_ACT: tuple[type[nn.Module], ...] = (nn.ReLU, nn.ReLU, nn.Hardswish, nn.Hardswish, nn.Hardswish)
# Stages whose output is the last at its stride: the pyramid's levels.
_LEVELS = (0, 1, 3, 4)


class MobileBody(Body):
    """Stem at stride 2, then five stages; levels at strides 4, 8, 16 and 32."""

    def __init__(self, genotype: dict[str, Any]) -> None:
        super().__init__()
        width = genotype["width"]
        widths = [make_divisible(c * width, 8) for c in _CHANNELS]
        self.channels, self.strides = tuple(widths[i] for i in _LEVELS), (4, 8, 16, 32)
        first = make_divisible(16 * width, 8)
        self.stem = nn.Sequential(
            ConvBnAct(3, first, 3, stride=2, act_layer=nn.Hardswish),
            DepthwiseSeparableConv(first, first, 3, act_layer=nn.ReLU),
        )
        stages, c_in, slot = [], first, 0
        for stage, depth in enumerate(genotype["depth"]):
            blocks = []
            for i in range(depth):
                kernel, expansion = genotype["kernel"][slot + i], genotype["expansion"][slot + i]
                blocks.append(_block(c_in, widths[stage], kernel, expansion, _STRIDES[stage] if i == 0 else 1, stage))
                c_in = widths[stage]
            slot += depth
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Four feature maps, finest first."""
        x, pyramid = self.stem(images), []
        for stage, module in enumerate(self.stages):
            x = module(x)
            if stage in _LEVELS:
                pyramid.append(x)
        return pyramid


def _block(c_in: int, c_out: int, kernel: int, expansion: int, stride: int, stage: int) -> nn.Module:
    se = (lambda c, **_: SqueezeExcite(c, rd_ratio=0.25, gate_layer="hard_sigmoid")) if _SE[stage] else None
    block: nn.Module = InvertedResidual(
        c_in, c_out, kernel, stride=stride, exp_ratio=expansion, act_layer=_ACT[stage], se_layer=se
    )
    return block


@register
class MobileNetV3(Space):
    """Depths, then a kernel and an expansion for every block there is (in the order of the blocks)."""

    name = "mobilenetv3"

    def random_genotype(self, rng: random.Random) -> dict[str, Any]:
        """Width and depths uniform; kernels and expansions uniform for the blocks these depths have."""
        depth = [rng.choice(DEPTHS) for _ in range(_STAGES)]
        blocks = sum(depth)
        return {
            "depth": depth,
            "kernel": [rng.choice(KERNELS) for _ in range(blocks)],
            "expansion": [rng.choice(EXPANSIONS) for _ in range(blocks)],
            "width": rng.choice(WIDTHS),
        }

    def mutate_genotype(self, genotype: dict[str, Any], rng: random.Random) -> dict[str, Any]:
        """Another choice in one place of the encoding that the network uses."""
        code = list(self.encode(Architecture.of(self.name, genotype)))
        options = [len(WIDTHS), *[len(DEPTHS)] * _STAGES]
        options += [len(KERNELS) if c >= 0 else 0 for c in code[1 + _STAGES : 1 + _STAGES + _SLOTS]]
        options += [len(EXPANSIONS) if c >= 0 else 0 for c in code[1 + _STAGES + _SLOTS :]]
        place = rng.choice([i for i, n in enumerate(options) if n])
        code[place] = rng.choice([c for c in range(options[place]) if c != code[place]])
        if 1 <= place <= _STAGES:
            _fit_depth(code, place - 1, rng)
        return self.decode(code).values

    def check(self, genotype: dict[str, Any]) -> None:
        """Known choices, and as many kernels and expansions as blocks."""
        depth, kernel, expansion = (genotype.get(k) for k in ("depth", "kernel", "expansion"))
        for name, values, known in (("depth", depth, DEPTHS), ("kernel", kernel, KERNELS)):
            if not isinstance(values, list) or any(v not in known for v in values):
                raise GenotypeError(f"mobilenetv3 genotype: '{name}' must be a list from {known}")
        if not isinstance(expansion, list) or any(v not in EXPANSIONS for v in expansion):
            raise GenotypeError(f"mobilenetv3 genotype: 'expansion' must be a list from {EXPANSIONS}")
        if len(depth or []) != _STAGES or not len(kernel or []) == len(expansion) == sum(depth or []):
            raise GenotypeError(f"mobilenetv3 genotype: needs {_STAGES} depths, and a kernel and expansion a block")
        if genotype.get("width") not in WIDTHS:
            raise GenotypeError(f"mobilenetv3 genotype: 'width' must be one of {WIDTHS}")

    def encode(self, architecture: Architecture) -> Sequence[int]:
        """Width, 5 depths, 20 kernels, 20 expansions; -1 where the network has no such block."""
        genotype = self._checked(architecture)
        code = [WIDTHS.index(genotype["width"]), *(DEPTHS.index(d) for d in genotype["depth"])]
        for name, known in (("kernel", KERNELS), ("expansion", EXPANSIONS)):
            values = iter(genotype[name])
            for depth in genotype["depth"]:
                code += [known.index(next(values)) if i < depth else -1 for i in range(max(DEPTHS))]
        return code

    def decode(self, code: Sequence[int]) -> Architecture:
        """Inverse of `encode`."""
        head = 1 + _STAGES
        if len(code) != head + 2 * _SLOTS or any(not -1 <= c < 3 for c in code) or min(code[:head]) < 0:
            raise GenotypeError(f"mobilenetv3 code: must be {head + 2 * _SLOTS} numbers from -1 to 2, see `encode`")
        kernel, expansion = code[head : head + _SLOTS], code[head + _SLOTS :]
        genotype = {
            "depth": [DEPTHS[c] for c in code[1:head]],
            "kernel": [KERNELS[c] for c in kernel if c >= 0],
            "expansion": [EXPANSIONS[c] for c in expansion if c >= 0],
            "width": WIDTHS[code[0]],
        }
        self.check(genotype)
        return Architecture.of(self.name, genotype)

    def build_body(self, genotype: dict[str, Any], settings: Mapping[str, Any]) -> Body:
        """The network; this space has no settings."""
        return MobileBody(genotype)


def _fit_depth(code: list[int], stage: int, rng: random.Random) -> None:
    """Give the blocks that a changed depth added random choices, and take those it removed."""
    depth = DEPTHS[code[1 + stage]]
    for table, known in ((0, KERNELS), (1, EXPANSIONS)):
        start = 1 + _STAGES + table * _SLOTS + stage * max(DEPTHS)
        for i in range(max(DEPTHS)):
            if i >= depth:
                code[start + i] = -1
            elif code[start + i] < 0:
                code[start + i] = rng.randrange(len(known))
