"""Depthwise convolutions with a fast gradient of wide kernels on a CPU.

oneDNN 3.12 has compiled code for the weight gradient of depthwise kernels up to three columns wide, and a plain loop
for wider kernels: the gradient of a 7x7 kernel takes ten times as long as the convolution. The gradient of a strip of
three columns does not depend on the other columns, so it can be computed strip by strip. MobileNetV3 with kernels 3, 5
and 7 trains 1.13 to 1.18 times as fast (medians of steps at 96x128 pixels, batch 8, one core, alternating).
"""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_weight

_MAX_COMPILED_COLUMNS = 3


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise `nn.Conv2d` with the same weights and outputs, and a faster gradient on a CPU in single precision."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the (N, C, H', W') output for an (N, C, H, W) input."""
        single = input.dtype == self.weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if not (single and input.device.type == "cpu"):
            return super().forward(input)
        output: Tensor = _StripwiseGradient.apply(input, self.weight, self.bias, self.stride, self.padding)
        return output


def use_fast_depthwise_backward(module: nn.Module) -> None:
    """Use the faster gradient in all wide depthwise convolutions of `module`. Names, weights and outputs stay."""
    for part in module.modules():
        if type(part) is nn.Conv2d and _is_wide_depthwise(part):
            part.__class__ = DepthwiseConv2d


def _is_wide_depthwise(part: nn.Conv2d) -> bool:
    depthwise = part.groups == part.in_channels == part.out_channels and part.groups > 1
    plain = part.dilation == (1, 1) and part.padding_mode == "zeros" and isinstance(part.padding, tuple)
    return depthwise and plain and part.kernel_size[1] > _MAX_COMPILED_COLUMNS


class _StripwiseGradient(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, bias, stride, padding, 1, weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        channels = weight.shape[0]
        needs_input, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        input_gradient, _, bias_gradient = torch.ops.aten.convolution_backward(
            grad,
            x,
            weight,
            [channels],
            ctx.stride,
            ctx.padding,
            (1, 1),
            False,
            (0, 0),
            channels,
            [needs_input, False, needs_bias],
        )
        weight_gradient = _stripwise_gradient(grad, x, weight, ctx.stride, ctx.padding) if needs_weight else None
        return input_gradient, weight_gradient, bias_gradient, None, None


def _stripwise_gradient(
    grad: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """Return the gradient of `weight`. Each strip is a narrower kernel of stride 1 on a part of the pixels."""
    layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    gradient = torch.empty_like(weight)
    for y, x0 in product(*(range(min(step, side)) for step, side in zip(stride, weight.shape[2:], strict=True))):
        # With stride 2, every other row and column of the kernel uses every other row and column of the images.
        part, pixels = gradient[:, :, y :: stride[0], x0 :: stride[1]], padded[:, :, y :: stride[0], x0 :: stride[1]]
        rows, columns = grad.shape[2] + part.shape[2] - 1, grad.shape[3] - 1
        for first in range(0, part.shape[3], _MAX_COMPILED_COLUMNS):
            strip = part[:, :, :, first : first + _MAX_COMPILED_COLUMNS]
            inputs = pixels[:, :, :rows, first : columns + first + strip.shape[3]].contiguous(memory_format=layout)
            strip.copy_(conv2d_weight(inputs, strip.shape, grad, groups=weight.shape[0]))  # type: ignore[no-untyped-call]
    return gradient
