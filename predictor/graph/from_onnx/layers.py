"""ONNX operations that are layers: with weights, with windows, and attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from predictor.graph.from_onnx.arithmetic import by_rank
from predictor.graph.from_onnx.call import Call, Result, UnsupportedError, operation


@operation("Conv")
def _conv(c: Call) -> Tensor:
    weight, stride, dilation = c[1], c.get("strides", 1), c.get("dilations", 1)
    x, padding = _padded(c, c[0], list(weight.shape[2:]), 0.0)
    bias = c.optional(2)
    if bias is not None and not bias.is_meta and not bias.any():
        bias = None  # some exporters add a bias of zeros to every convolution
    result: Tensor = by_rank("conv", x)(x, weight, bias, stride, padding, dilation, c.get("group", 1))
    return result


@operation("ConvTranspose")
def _transposed_conv(c: Call) -> Tensor:
    rank = c[0].dim() - 2
    pads = c.get("pads", [0] * 2 * rank)
    if c.get("output_shape") or c.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or pads[:rank] != pads[rank:]:
        raise UnsupportedError
    settings = (c.get("strides", 1), pads[:rank], c.get("output_padding", 0), c.get("group", 1), c.get("dilations", 1))
    result: Tensor = by_rank("conv_transpose", c[0])(c[0], c[1], c.optional(2), *settings)
    return result


@operation("MaxPool")
def _max_pool(c: Call) -> Result:
    kernel = c.get("kernel_shape")
    x, padding = _padded(c, c[0], kernel, float("-inf"))
    settings = (c.get("strides", [1] * len(kernel)), padding, c.get("dilations", 1), bool(c.get("ceil_mode", 0)))
    result: Result = by_rank("max_pool", x)(x, kernel, *settings, return_indices=len(c.operation.outputs) > 1)
    return result


@operation("AveragePool")
def _average_pool(c: Call) -> Tensor:
    kernel = c.get("kernel_shape")
    x, padding = _padded(c, c[0], kernel, 0.0)
    settings = (c.get("strides", [1] * len(kernel)), padding, bool(c.get("ceil_mode", 0)))
    result: Tensor = by_rank("avg_pool", x)(x, kernel, *settings, bool(c.get("count_include_pad", 0)))
    return result


def _padded(c: Call, x: Tensor, kernel: Sequence[int], fill: float) -> tuple[Tensor, list[int]]:
    """Return the input and the symmetric padding of a sliding window. An asymmetric padding is applied to the input."""
    rank = len(kernel)
    pads, auto = list(c.get("pads", [0] * 2 * rank)), c.get("auto_pad", b"NOTSET")
    if auto in (b"SAME_UPPER", b"SAME_LOWER"):
        stride, dilation = c.get("strides", [1] * rank), c.get("dilations", [1] * rank)
        for axis, side in enumerate(x.shape[2:]):
            window = (kernel[axis] - 1) * dilation[axis] + 1
            total = max(0, (-(-side // stride[axis]) - 1) * stride[axis] + window - side)
            smaller, larger = total // 2, total - total // 2
            pads[axis], pads[axis + rank] = (smaller, larger) if auto == b"SAME_UPPER" else (larger, smaller)
    if pads[:rank] == pads[rank:]:
        return x, pads[:rank]
    return F.pad(x, to_torch_order(pads), value=fill), [0] * rank


def to_torch_order(pads: Sequence[int]) -> list[int]:
    """Convert ONNX's order of pads, all beginnings then all ends, to torch's: pairs from the last axis to the first."""
    rank = len(pads) // 2
    return [side for axis in reversed(range(rank)) for side in (pads[axis], pads[axis + rank])]


@operation("Pad")
def _pad(c: Call) -> Tensor:
    pads, rank = c.setting("pads", 1), c[0].dim()
    axes = [axis % rank for axis in (c.input_values(3) if c.has(3) else range(rank))]
    all_pads = [0] * 2 * rank
    for i, axis in enumerate(axes):
        all_pads[axis], all_pads[axis + rank] = pads[i], pads[i + len(axes)]
    ordered = to_torch_order(all_pads)
    while len(ordered) > 2 and ordered[-2:] == [0, 0]:
        ordered = ordered[:-2]
    mode = {b"reflect": "reflect", b"edge": "replicate", b"wrap": "circular"}.get(c.get("mode", b"constant"))
    return F.pad(c[0], ordered, mode=mode) if mode else F.pad(c[0], ordered)


@operation("BatchNormalization")
def _batch_norm(c: Call) -> Tensor:
    return F.batch_norm(c[0], c[3], c[4], c[1], c[2], False, 0.0, c.get("epsilon", 1e-5))


@operation("InstanceNormalization")
def _instance_norm(c: Call) -> Tensor:
    return F.instance_norm(c[0], None, None, c[1], c[2], True, 0.0, c.get("epsilon", 1e-5))


@operation("LayerNormalization", "RMSNormalization")
def _layer_norm(c: Call) -> Tensor:
    shape = c[0].shape[c.get("axis", -1) :]
    if c[1].shape != shape:
        raise UnsupportedError
    if c.operation.kind == "RMSNormalization":
        return F.rms_norm(c[0], shape, c[1], c.get("epsilon", 1e-5))
    return F.layer_norm(c[0], shape, c[1], c.optional(2), c.get("epsilon", 1e-5))


@operation("GroupNormalization")
def _group_norm(c: Call) -> Tensor:
    if c[1].numel() != c[0].shape[1]:
        raise UnsupportedError
    return F.group_norm(c[0], c.get("num_groups"), c[1].flatten(), c[2].flatten(), c.get("epsilon", 1e-5))


@operation("LpNormalization")
def _lp_norm(c: Call) -> Tensor:
    return F.normalize(c[0], c.get("p", 2), c.get("axis", -1))


@operation("Linear")
def _linear(c: Call) -> Tensor:
    """Made by `fuse_layers`: a linear layer with weights (out, in), or (in, out) if `transposed`, and a bias."""
    return F.linear(c[0], c[1].t() if c.get("transposed") else c[1], c[2])


@operation("Gemm")
def _gemm(c: Call) -> Tensor:
    x = c[0].t() if c.get("transA", 0) else c[0]
    weight = c[1] if c.get("transB", 0) else c[1].t()
    bias = c.optional(2)
    if bias is None or bias.dim() == 1:
        return F.linear(x, weight, bias)
    return torch.addmm(bias, x, weight.t())


@operation("Einsum")
def _einsum(c: Call) -> Tensor:
    return torch.einsum(c.get("equation").decode(), *[t for t in c.inputs if t is not None])


@operation("Attention")
def _attention(c: Call) -> Tensor:
    """Inputs: query, key and value, (N, heads, tokens, width) or (N, tokens, heads * width)."""
    if len(c.operation.outputs) > 1 or c.has(4):
        raise UnsupportedError
    q, k, v = c[0], c[1], c[2]
    flat, q_heads, kv_heads = q.dim() == 3, c.get("q_num_heads"), c.get("kv_num_heads")
    if flat:
        heads = (q, q_heads), (k, kv_heads), (v, kv_heads)
        q, k, v = (x.reshape(*x.shape[:-1], count, -1).transpose(1, 2) for x, count in heads)
    grouped = q.shape[1] != k.shape[1]
    result = F.scaled_dot_product_attention(
        q, k, v, c.optional(3), is_causal=bool(c.get("is_causal", 0)), scale=c.get("scale"), enable_gqa=grouped
    )
    return result.transpose(1, 2).flatten(2) if flat else result


@operation("Resize", "Upsample")
def _resize(c: Call) -> Tensor:
    x, rank = c[0], c[0].dim()
    last, mode = (3 if c.version > 10 else 2), c.get("mode", b"nearest").decode()
    if c.version > 10 and c.has(3):
        sizes = c.input_values(3)
    else:
        scales = c.setting("scales", min(last, 2) if c.version > 10 else 1)
        sizes = [int(side * scale) for side, scale in zip(x.shape[rank - len(scales) :], scales, strict=True)]
    axes = c.get("axes") or range(rank - len(sizes), rank)
    shape = list(x.shape)
    for axis, size in zip(axes, sizes, strict=True):
        shape[axis] = size
    if shape[:2] != list(x.shape[:2]):
        raise UnsupportedError
    names = {"nearest": ["nearest"] * 3, "linear": ["linear", "bilinear", "trilinear"], "cubic": ["", "bicubic", ""]}
    return F.interpolate(x, shape[2:], mode=names[mode][rank - 3])


@operation("GridSample")
def _grid_sample(c: Call) -> Tensor:
    return F.grid_sample(c[0], c[1], align_corners=bool(c.get("align_corners", 0)))
