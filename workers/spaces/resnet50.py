"""The ResNet50-D space of Once-for-All (Cai et al., ICLR 2020), built from timm's bottlenecks.

Four stages of [2, 2, 4, 2] blocks plus 0 to 2 more. A block's expansion is the ratio of the channels of its 3x3
convolution to its output channels. Six widths scale the stem's inner channels, the stem's output and the four stages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from timm.layers import ConvNormAct, make_divisible
from timm.models.resnet import Bottleneck, downsample_avg
from torch import Tensor, nn

from workers.messages.architecture import Architecture
from workers.spaces.base import register
from workers.spaces.elastic_blocks import Field
from workers.spaces.once_for_all import OnceForAllSpace
from workers.spaces.staged_backbone import BackbonePlan, Part, plan_stages

DEPTHS, EXPANSIONS = (0, 1, 2), (0.2, 0.25, 0.35)
WIDTHS = (0.65, 0.8, 1.0)
_BASE_DEPTHS = (2, 2, 4, 2)
_CHANNELS = (256, 512, 1024, 2048)
_STRIDES = (1, 2, 2, 2)
_LEVELS = (0, 1, 2, 3)
_STEM_CHANNELS = 64


@register
class ResNet50(OnceForAllSpace):
    """Genotypes: depths, an expansion per block, six widths, and `stem`: 1 with a residual convolution there, else 0.

    Once-for-All writes `stem` as the first of its five depths, 2 or 0. Code: 6 widths, stem, 4 depths,
    18 expansions.
    """

    name = "resnet50"
    depths, base_depths = DEPTHS, _BASE_DEPTHS
    block_fields: Mapping[str, tuple[float, ...]] = {"expansion": EXPANSIONS}
    network_fields: Mapping[str, Field] = {"width": Field(WIDTHS, 2 + len(_CHANNELS)), "stem": Field((0, 1))}
    default_backbone: Mapping[str, Any] = {"pretrained": "none"}

    def shared_name(self, name: str, architecture: Architecture) -> str:
        """Number the stem's layers as if its optional second layer were always present."""
        if "stem." not in name or architecture.values["stem"]:  # most names: reading the genotype takes time
            return name
        return re.sub(r"\bstem\.(\d)\.", lambda match: f"stem.{int(match[1]) + (int(match[1]) > 0)}.", name)

    def plan_backbone(self, genotype: dict[str, Any], settings: Mapping[str, Any]) -> BackbonePlan:
        """Plan a stem with stride 4 and four stages. This space has no settings."""
        inner, outer, *stage_widths = genotype["width"]
        first = make_divisible(_STEM_CHANNELS * outer, 8)
        mid = make_divisible(make_divisible(_STEM_CHANNELS * inner, 8) // 2, 8)
        widths = [make_divisible(c * w, 8) for c, w in zip(_CHANNELS, stage_widths, strict=True)]

        def block(c_in: int, c_out: int, stride: int, stage: int, number: int) -> Part:
            return Part(_bottleneck, (c_in, c_out, stride, genotype["expansion"][number]))

        stages = plan_stages(first, widths, _STRIDES, self.block_counts(genotype["depth"]), block)
        return BackbonePlan(Part(_stem, (mid, first, genotype["stem"])), stages, _LEVELS, widths)


def _stem(mid: int, channels: int, residual: int) -> nn.Module:
    first = ConvNormAct(3, mid, 3, stride=2)
    between = [_ResidualConv(mid)] if residual else []
    return nn.Sequential(first, *between, ConvNormAct(mid, channels, 3), nn.MaxPool2d(3, 2, 1))


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
    # timm computes the inner channels as floor(planes * base_width / 64); adding a half avoids rounding errors.
    block: nn.Module = Bottleneck(c_in, planes, stride, shortcut, base_width=64 * (mid + 0.5) / planes)
    return block
