"""The macro space of TransNAS-Bench-101 (Duan et al., CVPR 2021): where a residual network widens and downsamples.

A network has four to six modules of two residual blocks behind a stem of 64 channels and stride 4. A digit is the kind
of a module: 1 plain, 2 doubles the channels, 3 halves the resolution, 4 does both. One to three modules double and one
to four halve, which gives 3,256 networks. The 754 that halve four times end at stride 64. They can be built as
published (`levels: published`), but their last module would not be part of a pyramid of strides 4 to 32, so they are
neither sampled nor reached by mutation.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from torch import Tensor, nn

from workers.errors import GenotypeError, RecipeError
from workers.messages.architecture import Architecture
from workers.spaces.base import Backbone, Space, register
from workers.spaces.staged_backbone import StagedBackbone

KINDS, DOUBLING, HALVING = "1234", "24", "34"
_LENGTHS = (4, 5, 6)
_BASE = 64
_STRIDES = (4, 8, 16, 32)
_LEVELS = ("pyramid", "published")


def _conv(c_in: int, c_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out))


class ResidualBlock(nn.Module):
    """The published block. Unlike timm's BasicBlock, it activates before its convolutions and not after the sum."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(_conv(c_in, c_out, stride), _conv(c_out, c_out, 1))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, c_in, H, W) to (N, c_out, H / stride, W / stride)."""
        out: Tensor = self.branch(x) + self.shortcut(x)
        return out


def _extra_level(channels: int) -> nn.Module:
    """Return a coarser level than the network has: max pooling and a 1x1 convolution, cheap compared to the modules."""
    conv = nn.Conv2d(channels, channels, 1, bias=False)
    return nn.Sequential(nn.MaxPool2d(2, 2), conv, nn.BatchNorm2d(channels))


def macro_backbone(modules: str, pyramid: bool) -> Backbone:
    """Build the network, with extra levels down to stride 32 if `pyramid`. A level is the last output at its stride."""
    stem = nn.Sequential(
        nn.Conv2d(3, _BASE // 2, 3, 2, 1, bias=False), nn.BatchNorm2d(_BASE // 2), _conv(_BASE // 2, _BASE, 2)
    )
    # The stem is a stage, because its output is the first level if the first module halves.
    stages: list[nn.Module] = [stem]
    channels, strides = [_BASE], [_STRIDES[0]]
    for kind in modules:
        width = channels[-1] * (2 if kind in DOUBLING else 1)
        stride = 2 if kind in HALVING else 1
        stages.append(nn.Sequential(ResidualBlock(channels[-1], width, stride), ResidualBlock(width, width, 1)))
        channels.append(width)
        strides.append(strides[-1] * stride)
    while pyramid and strides[-1] < _STRIDES[-1]:
        stages.append(_extra_level(channels[-1]))
        channels.append(channels[-1])
        strides.append(strides[-1] * 2)
    levels = [i for i, s in enumerate(strides) if i + 1 == len(strides) or strides[i + 1] != s]
    return StagedBackbone(nn.Identity(), stages, levels, [channels[i] for i in levels], [strides[i] for i in levels])


@lru_cache
def pyramid_codes() -> tuple[str, ...]:
    """Return the 2,502 networks of the space that end at stride 32 or less, shortest first."""
    digits = ("".join(code) for n in _LENGTHS for code in itertools.product(KINDS, repeat=n))
    return tuple(code for code in digits if _valid(code) and _count(code, HALVING) <= 3)


def _count(modules: str, kinds: str) -> int:
    return sum(kind in kinds for kind in modules)


def _valid(modules: str) -> bool:
    well_formed = len(modules) in _LENGTHS and set(modules) <= set(KINDS)
    return well_formed and 1 <= _count(modules, DOUBLING) <= 3 and 1 <= _count(modules, HALVING) <= 4


@register
class TransNasMacro(Space):
    """The genotype is the string of digits: {"modules": "41414"}."""

    name = "transnas-macro"
    published_backbone: Mapping[str, Any] = {"levels": "published"}
    default_backbone: Mapping[str, Any] = {"levels": "pyramid"}

    def random_genotype(self, rng: random.Random) -> dict[str, Any]:
        """Return one of `pyramid_codes`."""
        return {"modules": rng.choice(pyramid_codes())}

    def mutate_genotype(self, genotype: dict[str, Any], rng: random.Random) -> dict[str, Any]:
        """Change the kind of one module, or add or remove one at the end."""
        code = genotype["modules"]
        neighbours = {code[:i] + kind + code[i + 1 :] for i in range(len(code)) for kind in KINDS}
        neighbours |= {code[:-1], *(code + kind for kind in KINDS)}
        return {"modules": rng.choice(sorted((neighbours - {code}) & set(pyramid_codes())))}

    def check(self, genotype: dict[str, Any]) -> None:
        """Raise GenotypeError unless there are 4 to 6 digits, of which 1 to 3 double and 1 to 4 halve."""
        modules = genotype.get("modules")
        if not isinstance(modules, str) or not _valid(modules):
            raise GenotypeError(
                f"transnas-macro genotype {genotype}: 'modules' must be 4 to 6 digits from 1 to 4, "
                "1 to 3 of them 2 or 4, 1 to 4 of them 3 or 4"
            )

    def encode(self, architecture: Architecture) -> Sequence[int]:
        """Return six digits, with 0 after the last module."""
        modules: str = self._checked_genotype(architecture)["modules"]
        return [int(kind) for kind in modules.ljust(max(_LENGTHS), "0")]

    def decode(self, code: Sequence[int]) -> Architecture:
        """Inverse of `encode`."""
        if len(code) != max(_LENGTHS) or any(not 0 <= c <= len(KINDS) for c in code):
            raise GenotypeError(f"transnas-macro code {list(code)}: must be six numbers from 0 to {len(KINDS)}")
        return self.parse("".join(map(str, code)))

    def parse(self, text: str) -> Architecture:
        """Read a published string: 64-41414-basic, or 414140 with zeros up to six digits."""
        match = re.fullmatch(rf"(?:{_BASE}-)?([{KINDS}]+)0*(?:-basic)?", text)
        if not match:
            raise GenotypeError(f"transnas-macro string '{text}': must read {_BASE}-DIGITS-basic, or DIGITS alone")
        genotype = {"modules": match[1]}
        self.check(genotype)
        return Architecture.of(self.name, genotype)

    def build_backbone(self, genotype: dict[str, Any], settings: Mapping[str, Any]) -> Backbone:
        """Build a backbone. `levels`: pyramid (strides 4, 8, 16, 32) or published (the strides of the network)."""
        modules, levels = genotype["modules"], settings["levels"]
        if levels not in _LEVELS:
            raise RecipeError(f"body levels {levels}: must be one of {', '.join(_LEVELS)}")
        if levels == "pyramid" and _count(modules, HALVING) > 3:
            raise GenotypeError(
                f"transnas-macro {modules}: halves four times, to stride 64, beyond the pyramid's 32: "
                "choose at most three, or the body setting levels: published"
            )
        return macro_backbone(modules, levels == "pyramid")
