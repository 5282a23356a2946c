"""The MobileNetV3 space of Once-for-All (Cai et al., ICLR 2020), built from timm's own blocks.

Five stages of 2 to 4 inverted residuals, each with its kernel (3, 5, 7) and expansion (3, 4, 6). The width
multiplier is part of the genotype, one of `WIDTHS`, unless the recipe sets it for all architectures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timm.layers import SqueezeExcite, make_divisible
from timm.models._efficientnet_blocks import ConvBnAct, DepthwiseSeparableConv, InvertedResidual
from torch import nn

from workers.spaces.base import register
from workers.spaces.elastic_blocks import Field, width_multiplier
from workers.spaces.once_for_all import OnceForAllSpace
from workers.spaces.staged_backbone import BackbonePlan, Part, plan_stages

DEPTHS, KERNELS, EXPANSIONS = (2, 3, 4), (3, 5, 7), (3, 4, 6)
WIDTHS = (0.5, 0.75, 1.0)
# Channels, stride, squeeze-excite and activation of the five stages, as in the paper's MobileNetV3-Large.
_CHANNELS = (24, 40, 80, 112, 160)
_STRIDES = (2, 2, 2, 1, 2)
_SE = (False, True, False, True, True)
_ACT: tuple[type[nn.Module], ...] = (nn.ReLU, nn.ReLU, nn.Hardswish, nn.Hardswish, nn.Hardswish)
# Levels of the pyramid: the last stage at each stride.
_LEVELS = (0, 1, 3, 4)


@register
class MobileNetV3(OnceForAllSpace):
    """Genotypes: depths, then a kernel and an expansion for every block, in the order of the blocks.

    Code: width, 5 depths, 20 kernels, 20 expansions.
    """

    name = "mobilenetv3"
    depths, base_depths = DEPTHS, (0,) * len(_CHANNELS)
    block_fields: Mapping[str, tuple[float, ...]] = {"kernel": KERNELS, "expansion": EXPANSIONS}
    network_fields: Mapping[str, Field] = {"width": Field(WIDTHS)}
    default_backbone: Mapping[str, Any] = {"width": None, "pretrained": "none"}

    def plan_backbone(self, genotype: dict[str, Any], settings: Mapping[str, Any]) -> BackbonePlan:
        """Plan a stem with stride 2 and five stages. The setting `width` replaces the width of the genotype."""
        width = width_multiplier(genotype, settings)
        widths = [make_divisible(c * width, 8) for c in _CHANNELS]
        first = make_divisible(16 * width, 8)

        def block(c_in: int, c_out: int, stride: int, stage: int, number: int) -> Part:
            kernel, expansion = genotype["kernel"][number], genotype["expansion"][number]
            return Part(_block, (c_in, c_out, kernel, expansion, stride, stage))

        stages = plan_stages(first, widths, _STRIDES, self.block_counts(genotype["depth"]), block)
        return BackbonePlan(Part(_stem, (first,)), stages, _LEVELS, [widths[i] for i in _LEVELS])


def _stem(channels: int) -> nn.Module:
    return nn.Sequential(
        ConvBnAct(3, channels, 3, stride=2, act_layer=nn.Hardswish),
        DepthwiseSeparableConv(channels, channels, 3, act_layer=nn.ReLU),
    )


def _block(c_in: int, c_out: int, kernel: int, expansion: int, stride: int, stage: int) -> nn.Module:
    se = _squeeze_excite if _SE[stage] else None
    block: nn.Module = InvertedResidual(
        c_in, c_out, kernel, stride=stride, exp_ratio=expansion, act_layer=_ACT[stage], se_layer=se
    )
    return block


def _squeeze_excite(channels: int, **_: Any) -> nn.Module:
    """Round the inner channels as the paper's code does; timm's rounding may remove more than a tenth of them."""
    layer: nn.Module = SqueezeExcite(channels, rd_channels=make_divisible(channels // 4, 8), gate_layer="hard_sigmoid")
    return layer
