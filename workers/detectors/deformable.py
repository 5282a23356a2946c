"""mmcv's deformable convolutions (Dai et al., ICCV 2017; Zhu et al., CVPR 2019), computed by torchvision.

The kernel samples the input at positions moved by `offset`; the modulated version multiplies the samples by `mask`.
images: (N, C, H, W); weight: (C_out, C / groups, height, width); offset: (N, 2 x groups x height x width, H_out,
W_out); mask: half as many channels as offset. Arguments are in mmcv's order, and results are written into tensors that
mmcv passes. `sizes` are mmcv's keyword arguments, such as stride and padding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchvision.ops import deform_conv2d

# mmcv's names of stride, padding and dilation, height before width, for both versions.
_SIZES = (("dH", "dW"), ("padH", "padW"), ("dilationH", "dilationW"))
_MODULATED_SIZES = (("stride_h", "stride_w"), ("pad_h", "pad_w"), ("dilation_h", "dilation_w"))


def deform_conv_forward(
    images: Tensor, weight: Tensor, offset: Tensor, output: Tensor, *buffers: Tensor, **sizes: int
) -> None:
    """Write the deformable convolution, (N, C_out, H_out, W_out), into `output`."""
    output.copy_(_deformed(images, offset, weight, None, None, _SIZES, sizes))


def deform_conv_backward_input(
    images: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    *buffers: Tensor,
    **sizes: int,
) -> None:
    """Write the gradients of images and offsets into `grad_input` and `grad_offset`."""
    grads = _gradients(images, offset, weight, None, None, grad_output, _SIZES, sizes)
    grad_input.copy_(grads[0])
    grad_offset.copy_(grads[1])


def deform_conv_backward_parameters(
    images: Tensor, offset: Tensor, grad_output: Tensor, grad_weight: Tensor, *rest: Tensor, **sizes: int
) -> None:
    """Add the gradient of the weight to `grad_weight`. It does not depend on the weight, which mmcv does not pass."""
    weight = torch.zeros_like(grad_weight)
    grad_weight.add_(_gradients(images, offset, weight, None, None, grad_output, _SIZES, sizes)[2])


def modulated_deform_conv_forward(
    images: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    **sizes: int,
) -> None:
    """Write the modulated deformable convolution into `output`."""
    bias_or_none = bias if sizes["with_bias"] else None
    output.copy_(_deformed(images, offset, weight, mask, bias_or_none, _MODULATED_SIZES, sizes))


def modulated_deform_conv_backward(
    images: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    *grads: Tensor,
    **sizes: int,
) -> None:
    """Write the gradients of images, weight, bias, offset and mask into the first five `grads`.

    The last of `grads` is the gradient of the output.
    """
    bias_or_none = bias if sizes["with_bias"] else None
    gradients = _gradients(images, offset, weight, mask, bias_or_none, grads[-1], _MODULATED_SIZES, sizes)
    for target, position in zip(grads[:5], (0, 2, 4, 1, 3), strict=True):
        if target.numel():  # empty without a bias
            target.copy_(gradients[position])


def _deformed(
    images: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    names: Sequence[tuple[str, str]],
    sizes: Mapping[str, int],
) -> Tensor:
    stride, padding, dilation = ((sizes[high], sizes[wide]) for high, wide in names)
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
    sizes: Mapping[str, int],
) -> list[Tensor]:
    """Return the gradients of images, offset, weight, and of mask and bias if they are given."""
    inputs = [t.detach().requires_grad_() for t in (images, offset, weight, mask, bias) if t is not None]
    leaves = iter(inputs)
    images, offset, weight = next(leaves), next(leaves), next(leaves)
    mask, bias = (None if t is None else next(leaves) for t in (mask, bias))
    with torch.enable_grad():
        output = _deformed(images, offset, weight, mask, bias, names, sizes)
        return list(torch.autograd.grad(output, inputs, grad_output))
