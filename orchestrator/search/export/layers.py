"""Which operations of an exported network are layers of torch, and how those are built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Stored = tuple[str, Tensor]  # path and value of a weight
FindStored = Callable[[Any], Stored | None]


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer. path: in the network. constructor: the expression that builds it. weights: paths by name in the layer.

    counters: tensors of the layer that the network's operations do not show.
    """

    path: str
    constructor: str
    weights: Mapping[str, str]
    counters: Mapping[str, Tensor] = field(default_factory=dict)


def layer_of(target: str, args: Sequence[Any], stored: FindStored) -> Layer | None:
    """Return the layer that an operation is; None if it is no layer.

    target: name of the operation, such as aten.conv2d.default. stored: finds the weight that an argument is. An
    operation on computed weights is no layer.
    """
    build = _LAYERS.get(target)
    return build(list(args), stored) if build is not None else None


def _convolution(args: list[Any], stored: FindStored) -> Layer | None:
    weight, bias = stored(args[1]), _bias(args, stored)
    if weight is None or bias is False:
        return None
    defaults: list[Any] = [None, None, None, [1, 1], [0, 0], [1, 1], 1]
    stride, padding, dilation, groups = (args + defaults[len(args) :])[3:7]
    c_out, c_in, *kernel = weight[1].shape
    if not isinstance(padding, str):
        padding = tuple(padding)
    options = [f"kernel_size={tuple(kernel)}"]
    options += [f"stride={tuple(stride)}"] if tuple(stride) != (1, 1) else []
    options += [f"padding={padding!r}"] if padding != (0, 0) else []
    options += [f"dilation={tuple(dilation)}"] if tuple(dilation) != (1, 1) else []
    options += [f"groups={groups}"] if groups != 1 else []
    options += ["bias=False"] if bias is None else []
    return _layer(f"nn.Conv2d({c_in * groups}, {c_out}, {', '.join(options)})", weight, bias)


def _transposed(args: list[Any], stored: FindStored) -> Layer | None:
    weight, bias = stored(args[1]), _bias(args, stored)
    if weight is None or bias is False:
        return None
    defaults: list[Any] = [None, None, None, [1, 1], [0, 0], [0, 0], 1, [1, 1]]
    stride, padding, extra, groups, dilation = (args + defaults[len(args) :])[3:8]
    c_in, c_out, *kernel = weight[1].shape
    options = f"kernel_size={tuple(kernel)}, stride={tuple(stride)}, padding={tuple(padding)}"
    options += f", output_padding={tuple(extra)}, groups={groups}, bias={bias is not None}, dilation={tuple(dilation)}"
    return _layer(f"nn.ConvTranspose2d({c_in}, {c_out * groups}, {options})", weight, bias)


def _batch_norm(args: list[Any], stored: FindStored) -> Layer | None:
    weight, bias, mean, variance = (stored(arg) for arg in args[1:5])
    if weight is None or bias is None or mean is None or variance is None or args[5]:
        return None
    momentum, eps = args[6], args[7]
    layer = _layer(f"nn.BatchNorm2d({len(weight[1])}, eps={eps!r}, momentum={momentum!r})", weight, bias)
    weights = {**layer.weights, "running_mean": mean[0], "running_var": variance[0]}
    return Layer(layer.path, layer.constructor, weights, {"num_batches_tracked": torch.tensor(0)})


def _linear(args: list[Any], stored: FindStored) -> Layer | None:
    weight, bias = stored(args[1]), _bias(args, stored)
    if weight is None or bias is False:
        return None
    c_out, c_in = weight[1].shape
    return _layer(f"nn.Linear({c_in}, {c_out}{'' if bias is not None else ', bias=False'})", weight, bias)


def _group_norm(args: list[Any], stored: FindStored) -> Layer | None:
    weight, bias = (stored(args[i]) if len(args) > i else None for i in (2, 3))
    if weight is None or bias is None:
        return None
    eps = args[4] if len(args) > 4 else 1e-5
    return _layer(f"nn.GroupNorm({args[1]}, {len(weight[1])}, eps={eps!r})", weight, bias)


def _layer_norm(args: list[Any], stored: FindStored) -> Layer | None:
    weight, bias = (stored(args[i]) if len(args) > i else None for i in (2, 3))
    if weight is None or bias is None:
        return None
    eps = args[4] if len(args) > 4 else 1e-5
    return _layer(f"nn.LayerNorm({tuple(args[1])}, eps={eps!r})", weight, bias)


def _bias(args: list[Any], stored: FindStored) -> Stored | bool | None:
    """Return the stored bias; None if there is none, False if it is computed."""
    if len(args) < 3 or args[2] is None:
        return None
    return stored(args[2]) or False


def _layer(constructor: str, weight: Stored, bias: Stored | bool | None) -> Layer:
    path = weight[0].rpartition(".")[0]
    weights = {"weight": weight[0]}
    if isinstance(bias, tuple):
        weights["bias"] = bias[0]
    return Layer(path, constructor, weights)


_LAYERS: dict[str, Callable[[list[Any], FindStored], Layer | None]] = {
    "aten.conv2d.default": _convolution,
    "aten.conv2d.padding": _convolution,
    "aten.conv_transpose2d.input": _transposed,
    "aten.batch_norm.default": _batch_norm,
    "aten.linear.default": _linear,
    "aten.group_norm.default": _group_norm,
    "aten.layer_norm.default": _layer_norm,
}
