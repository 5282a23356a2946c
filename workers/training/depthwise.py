"""Depthwise convolutions whose training on a CPU does not wait for the gradient of wide kernels.

oneDNN 3.12 has a compiled kernel for the weights' gradient of depthwise convolutions up to three columns wide, and a
plain loop for wider ones: that of a 7x7 takes ten times as long as the convolution itself. A strip of three columns of
the kernel has the same gradient by itself. MobileNetV3 of kernels 3, 5 and 7 trains 1.13 to 1.18 times as fast (medians
of steps at 96x128 pixels, batch 8, one core, both in turn).
"""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_weight

_COMPILED = 3  # columns


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise `nn.Conv2d`: the same weights and outputs; on a CPU, in single precision, a faster gradient."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H', W')."""
        single = input.dtype == self.weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if not (single and input.device.type == "cpu"):
            return super().forward(input)
        output: Tensor = _StripwiseGradient.apply(input, self.weight, self.bias, self.stride, self.padding)
        return output


def use_fast_depthwise_backward(module: nn.Module) -> None:
    """Give the wide depthwise convolutions in `module` the faster gradient. Names, weights and outputs stay."""
    for part in module.modules():
        if type(part) is nn.Conv2d and _is_wide_depthwise(part):
            part.__class__ = DepthwiseConv2d


def _is_wide_depthwise(part: nn.Conv2d) -> bool:
    depthwise = part.groups == part.in_channels == part.out_channels and part.groups > 1
    plain = part.dilation == (1, 1) and part.padding_mode == "zeros" and isinstance(part.padding, tuple)
    return depthwise and plain and part.kernel_size[1] > _COMPILED


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
        to_input, to_weight, to_bias = ctx.needs_input_grad[:3]
        of_input, _, of_bias = torch.ops.aten.convolution_backward(
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
            [to_input, False, to_bias],
        )
        of_weight = _stripwise(grad, x, weight, ctx.stride, ctx.padding) if to_weight else None
        return of_input, of_weight, of_bias, None, None


def _stripwise(grad: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """The gradient of `weight`, strip by strip: each is of a narrower kernel of stride 1 on other pixels."""
    layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    found = torch.empty_like(weight)
    for y, x0 in product(*(range(min(step, side)) for step, side in zip(stride, weight.shape[2:], strict=True))):
        # Every other row and column of the kernel sees every other one of the images.
        part, pixels = found[:, :, y :: stride[0], x0 :: stride[1]], padded[:, :, y :: stride[0], x0 :: stride[1]]
        rows, columns = grad.shape[2] + part.shape[2] - 1, grad.shape[3] - 1
        for first in range(0, part.shape[3], _COMPILED):
            strip = part[:, :, :, first : first + _COMPILED]
            seen = pixels[:, :, :rows, first : columns + first + strip.shape[3]].contiguous(memory_format=layout)
            strip.copy_(conv2d_weight(seen, strip.shape, grad, groups=weight.shape[0]))  # type: ignore[no-untyped-call]
    return found
