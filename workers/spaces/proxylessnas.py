"""The ProxylessNAS space of Once-for-All (Cai et al., ICLR 2020; Cai et al., ICLR 2019), from timm's own blocks.

Five stages of 2 to 4 MobileNetV2 blocks and a last block, each with its kernel (3, 5, 7) and expansion (3, 4, 6).
The width multiplier is part of the genotype, unless the recipe sets it for all architectures;
Once-for-All published 1.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from timm.layers import make_divisible
from timm.models._efficientnet_blocks import ConvBnAct, DepthwiseSeparableConv, InvertedResidual
from torch import nn

from workers.spaces.base import register
from workers.spaces.elastic_blocks import Field, width_multiplier
from workers.spaces.once_for_all import OnceForAllSpace
from workers.spaces.staged_backbone import BackbonePlan, Part, plan_stages

DEPTHS, KERNELS, EXPANSIONS = (2, 3, 4), (3, 5, 7), (3, 4, 6)
WIDTHS = (0.75, 1.0, 1.3)
# Channels of the first convolution and of the first block, which has no expansion.
_STEM = (32, 16)
# Channels of the five stages and of the last block.
_CHANNELS = (24, 40, 80, 96, 192, 320)
_STRIDES = (2, 2, 2, 1, 2, 1)
_NORM = partial(nn.BatchNorm2d, eps=1e-3)  # as published
# Levels of the pyramid: the last stage at each stride.
_LEVELS = (0, 1, 3, 5)


@register
class ProxylessNAS(OnceForAllSpace):
    """Genotypes: depths, then a kernel and an expansion for every block, including the last block.

    Code: width, 5 depths, 21 kernels, 21 expansions.
    """

    name = "proxylessnas"
    depths, base_depths, single_blocks = DEPTHS, (0,) * 5, 1
    block_fields: Mapping[str, tuple[float, ...]] = {"kernel": KERNELS, "expansion": EXPANSIONS}
    network_fields: Mapping[str, Field] = {"width": Field(WIDTHS)}
    default_backbone: Mapping[str, Any] = {"width": None, "pretrained": "none"}

    def plan_backbone(self, genotype: dict[str, Any], settings: Mapping[str, Any]) -> BackbonePlan:
        """Plan a stem with stride 2 and six stages. The setting `width` replaces the width of the genotype."""
        width = width_multiplier(genotype, settings)
        stem_width, first, *widths = (make_divisible(c * width, 8) for c in _STEM + _CHANNELS)

        def block(c_in: int, c_out: int, stride: int, stage: int, number: int) -> Part:
            return Part(_block, (c_in, c_out, genotype["kernel"][number], genotype["expansion"][number], stride))

        stages = plan_stages(first, widths, _STRIDES, self.block_counts(genotype["depth"]), block)
        return BackbonePlan(Part(_stem, (stem_width, first)), stages, _LEVELS, [widths[i] for i in _LEVELS])


def _stem(channels: int, first: int) -> nn.Module:
    return nn.Sequential(
        ConvBnAct(3, channels, 3, stride=2, act_layer=nn.ReLU6, norm_layer=_NORM),
        DepthwiseSeparableConv(channels, first, 3, act_layer=nn.ReLU6, norm_layer=_NORM),
    )


def _block(c_in: int, c_out: int, kernel: int, expansion: int, stride: int) -> nn.Module:
    block: nn.Module = InvertedResidual(
        c_in, c_out, kernel, stride=stride, exp_ratio=expansion, act_layer=nn.ReLU6, norm_layer=_NORM
    )
    return block
