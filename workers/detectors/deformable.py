"""mmcv's deformable convolutions (Dai et al., ICCV 2017; Zhu et al., CVPR 2019) by torchvision's.

A convolution whose kernel reads at places that move by `offset`, and in the modulated kind weighs what it reads by
`mask`. images: (N, C, H, W); weight: (C_out, C / groups, height, width); offset: (N, 2 x groups x height x width,
H_out, W_out); mask: half as many channels. Arguments are in mmcv's order, and results are written into tensors it made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchvision.ops import deform_conv2d

# How the two kinds name stride, padding and dilation, height before width.
_PLACES = (("dH", "dW"), ("padH", "padW"), ("dilationH", "dilationW"))
_MODULATED_PLACES = (("stride_h", "stride_w"), ("pad_h", "pad_w"), ("dilation_h", "dilation_w"))


def deform_conv_forward(
    images: Tensor, weight: Tensor, offset: Tensor, output: Tensor, *buffers: Tensor, **places: int
) -> None:
    """Writes (N, C_out, H_out, W_out) into `output`: a convolution whose kernel's places move by `offset`."""
    output.copy_(_deformed(images, offset, weight, None, None, _PLACES, places))


def deform_conv_backward_input(
    images: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    *buffers: Tensor,
    **places: int,
) -> None:
    """Writes the gradients of images and offsets."""
    grads = _gradients(images, offset, weight, None, None, grad_output, _PLACES, places)
    grad_input.copy_(grads[0])
    grad_offset.copy_(grads[1])


def deform_conv_backward_parameters(
    images: Tensor, offset: Tensor, grad_output: Tensor, grad_weight: Tensor, *rest: Tensor, **places: int
) -> None:
    """Adds the weight's gradient. mmcv hands no weight over, and the gradient is the same for any."""
    weight = torch.zeros_like(grad_weight)
    grad_weight.add_(_gradients(images, offset, weight, None, None, grad_output, _PLACES, places)[2])


def modulated_deform_conv_forward(
    images: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    **places: int,
) -> None:
    """As `deform_conv_forward`; what is read at each place is multiplied by `mask`."""
    used = bias if places["with_bias"] else None
    output.copy_(_deformed(images, offset, weight, mask, used, _MODULATED_PLACES, places))


def modulated_deform_conv_backward(
    images: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    *grads: Tensor,
    **places: int,
) -> None:
    """Writes the gradients of images, weight, bias, offsets and mask; `grads` are those, then that of the output."""
    used = bias if places["with_bias"] else None
    found = _gradients(images, offset, weight, mask, used, grads[-1], _MODULATED_PLACES, places)
    for kept, number in zip(grads[:5], (0, 2, 4, 1, 3), strict=True):
        if kept.numel():  # there may be no bias
            kept.copy_(found[number])


def _deformed(
    images: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    names: Sequence[tuple[str, str]],
    places: Mapping[str, int],
) -> Tensor:
    stride, padding, dilation = ((places[high], places[wide]) for high, wide in names)
    deformed: Tensor = deform_conv2d(images, offset, weight, bias, stride, padding, dilation, mask)
    return deformed


def _gradients(
    images: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    grad_output: Tensor,
    names: Sequence[tuple[str, str]],
    places: Mapping[str, int],
) -> list[Tensor]:
    """By images, offset, weight, and by mask and bias where they are given."""
    given = [t.detach().requires_grad_() for t in (images, offset, weight, mask, bias) if t is not None]
    leaves = iter(given)
    images, offset, weight = next(leaves), next(leaves), next(leaves)
    mask, bias = (None if t is None else next(leaves) for t in (mask, bias))
    with torch.enable_grad():
        output = _deformed(images, offset, weight, mask, bias, names, places)
        return list(torch.autograd.grad(output, given, grad_output))
