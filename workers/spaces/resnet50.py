"""The ResNet50-D space of Once-for-All (Cai et al., ICLR 2020), built from timm's bottlenecks.

Four stages of [2, 2, 4, 2] blocks and 0 to 2 more; every block has an expansion, the share of its output channels
that its 3x3 convolution has. Widths scale the stem's inner channels, the stem's output and the four stages, in turn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from timm.layers import ConvNormAct, make_divisible
from timm.models.resnet import Bottleneck, downsample_avg
from torch import Tensor, nn

from workers.messages.architecture import Architecture
from workers.spaces.base import Backbone, register
from workers.spaces.elastic_blocks import ElasticSpace, Field
from workers.spaces.staged_backbone import StagedBackbone, stack_stages

DEPTHS, EXPANSIONS = (0, 1, 2), (0.2, 0.25, 0.35)
WIDTHS = (0.65, 0.8, 1.0)
_BASE_DEPTHS = (2, 2, 4, 2)
_CHANNELS = (256, 512, 1024, 2048)
_STRIDES = (1, 2, 2, 2)
_LEVELS = (0, 1, 2, 3)
_STEM_CHANNELS = 64


@register
class ResNet50(ElasticSpace):
    """Depths, an expansion a block, six widths, and whether the stem has its residual convolution (`stem` 1 or 0).

    Once-for-All writes the latter as the first of its five depths, 2 or 0. Code: 6 widths, stem, 4 depths,
    18 expansions.
    """

    name = "resnet50"
    depths, base_depths = DEPTHS, _BASE_DEPTHS
    block_fields: Mapping[str, tuple[float, ...]] = {"expansion": EXPANSIONS}
    head: Mapping[str, Field] = {"width": Field(WIDTHS, 2 + len(_CHANNELS)), "stem": Field((0, 1))}

    def shared_name(self, name: str, architecture: Architecture) -> str:
        """Without its optional second layer, a stem's later ones are counted as if it were there."""
        if architecture.values["stem"]:
            return name
        return re.sub(r"\bstem\.(\d)\.", lambda found: f"stem.{int(found[1]) + (int(found[1]) > 0)}.", name)

    def build_backbone(self, genotype: dict[str, Any], settings: Mapping[str, Any]) -> Backbone:
        """Stem at stride 4, then four stages; this space has no settings."""
        inner, outer, *stage_widths = genotype["width"]
        first = make_divisible(_STEM_CHANNELS * outer, 8)
        mid = make_divisible(make_divisible(_STEM_CHANNELS * inner, 8) // 2, 8)
        widths = [make_divisible(c * w, 8) for c, w in zip(_CHANNELS, stage_widths, strict=True)]
        stem = [ConvNormAct(3, mid, 3, stride=2)]
        stem += [_ResidualConv(mid)] if genotype["stem"] else []
        stem += [ConvNormAct(mid, first, 3), nn.MaxPool2d(3, 2, 1)]

        def block(c_in: int, c_out: int, stride: int, stage: int, slot: int) -> nn.Module:
            return _bottleneck(c_in, c_out, stride, genotype["expansion"][slot])

        stages = stack_stages(first, widths, _STRIDES, self.blocks(genotype["depth"]), block)
        return StagedBackbone(nn.Sequential(*stem), stages, _LEVELS, widths)


class _ResidualConv(nn.Module):
    """The stem's optional layer. timm has no residual around a single convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = ConvNormAct(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv(x)
        return out


def _bottleneck(c_in: int, c_out: int, stride: int, expansion: float) -> nn.Module:
    planes, mid = c_out // Bottleneck.expansion, make_divisible(c_out * expansion, 8)
    shortcut = downsample_avg(c_in, c_out, 1, stride) if stride != 1 or c_in != c_out else None
    # timm takes the inner channels as floor(planes * base_width / 64); the half keeps the floor off rounding errors.
    block: nn.Module = Bottleneck(c_in, planes, stride, shortcut, base_width=64 * (mid + 0.5) / planes)
    return block
