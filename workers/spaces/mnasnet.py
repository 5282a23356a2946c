"""The MnasNet space (Tan et al., CVPR 2019) as in the published labels of Accel-NASBench (Ahmad et al., 2024).

Seven stages, each with one expansion, kernel, number of blocks and squeeze-excite for all its blocks. Channels and
strides are those of EfficientNet-B0, which give exactly the published numbers of parameters.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from timm.models._efficientnet_blocks import ConvBnAct, DepthwiseSeparableConv, InvertedResidual, SqueezeExcite
from torch import nn

from workers.errors import GenotypeError
from workers.messages.architecture import Architecture
from workers.spaces.base import Backbone, Space, register
from workers.spaces.staged_backbone import BackbonePlan, Part, plan_stages

_STEM = 32
_CHANNELS = (16, 24, 40, 80, 112, 192, 320)
_STRIDES = (1, 2, 2, 2, 1, 2, 1)
_LEVELS = (1, 2, 4, 6)
_STAGES = len(_CHANNELS)
# For every stage: expansions, kernels, numbers of blocks (up to four in the sixth stage), squeeze-excite.
CHOICES: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "e": ((1, 4, 6),) * _STAGES,
    "k": ((3, 5),) * _STAGES,
    "d": ((1, 2, 3),) * 5 + ((1, 2, 3, 4), (1, 2, 3)),
    "se": ((False, True),) * _STAGES,
}
_POSITIONS = tuple((name, stage, choices) for name, table in CHOICES.items() for stage, choices in enumerate(table))


@register
class MnasNet(Space):
    """Genotypes have the published keys: `e`, `k`, `d` and `se`, seven values each."""

    name = "mnasnet"

    def random_genotype(self, rng: random.Random) -> dict[str, Any]:
        """Return 28 independent uniform choices."""
        return {name: [rng.choice(choices) for choices in table] for name, table in CHOICES.items()}

    def mutate_genotype(self, genotype: dict[str, Any], rng: random.Random) -> dict[str, Any]:
        """Change one choice of one stage."""
        name, stage, choices = rng.choice(_POSITIONS)
        values = list(genotype[name])
        values[stage] = rng.choice([c for c in choices if c != values[stage]])
        return {**genotype, name: values}

    def check(self, genotype: dict[str, Any]) -> None:
        """Raise GenotypeError unless there are four lists of seven known choices. `se` has booleans, not numbers."""
        if set(genotype) != set(CHOICES):
            raise GenotypeError(f"mnasnet genotype: must have the keys {', '.join(CHOICES)} and no other")
        for name, table in CHOICES.items():
            values = genotype[name]
            if not isinstance(values, list) or len(values) != _STAGES:
                raise GenotypeError(f"mnasnet genotype: '{name}' must be a list of {_STAGES}, one per stage")
            for stage, (value, choices) in enumerate(zip(values, table, strict=True)):
                if type(value) is not type(choices[0]) or value not in choices:
                    raise GenotypeError(f"mnasnet genotype: '{name}' of stage {stage} must be one of {choices}")

    def encode(self, architecture: Architecture) -> Sequence[int]:
        """Return the indices of 7 expansions, 7 kernels, 7 numbers of blocks and 7 squeeze-excites."""
        genotype = self._checked_genotype(architecture)
        return [choices.index(genotype[name][stage]) for name, stage, choices in _POSITIONS]

    def decode(self, code: Sequence[int]) -> Architecture:
        """Inverse of `encode`."""
        if len(code) != len(_POSITIONS) or any(
            not 0 <= c < len(choices) for c, (_, _, choices) in zip(code, _POSITIONS, strict=True)
        ):
            raise GenotypeError(f"mnasnet code: must be {len(_POSITIONS)} indices of choices, see `encode`")
        genotype: dict[str, Any] = {name: [] for name in CHOICES}
        for c, (name, _, choices) in zip(code, _POSITIONS, strict=True):
            genotype[name].append(choices[c])
        return Architecture.of(self.name, genotype)

    def build_backbone(self, genotype: dict[str, Any], settings: Mapping[str, Any]) -> Backbone:
        """Build a stem with stride 2 and seven stages. This space has no settings."""

        def block(c_in: int, c_out: int, stride: int, stage: int, number: int) -> Part:
            return Part(_block, (c_in, c_out, stride, *(genotype[name][stage] for name in ("k", "e", "se"))))

        stages = plan_stages(_STEM, _CHANNELS, _STRIDES, genotype["d"], block)
        return BackbonePlan(Part(_stem, ()), stages, _LEVELS, [_CHANNELS[i] for i in _LEVELS]).build()


def _stem() -> nn.Module:
    stem: nn.Module = ConvBnAct(3, _STEM, 3, stride=2)
    return stem


def _block(c_in: int, c_out: int, stride: int, kernel: int, expansion: int, se: bool) -> nn.Module:
    # Squeeze to a quarter of the block's input channels; timm's ratio refers to the expanded channels.
    squeeze = partial(SqueezeExcite, rd_ratio=0.25 / expansion) if se else None
    if expansion == 1:
        block: nn.Module = DepthwiseSeparableConv(c_in, c_out, kernel, stride=stride, se_layer=squeeze)
    else:
        block = InvertedResidual(c_in, c_out, kernel, stride=stride, exp_ratio=expansion, se_layer=squeeze)
    return block
