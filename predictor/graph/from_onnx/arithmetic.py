"""ONNX operations on each value, and reductions over axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from predictor.graph.from_onnx.call import Call, operation

_SOFTMAX_OVER_ONE_AXIS = 13  # since this opset version; before, it was over all axes from the given one on

_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Log": torch.log,
    "Sqrt": torch.sqrt,
    "Abs": torch.abs,
    "Neg": torch.neg,
    "Floor": torch.floor,
    "Ceil": torch.ceil,
    "Round": torch.round,
    "Sign": torch.sign,
    "Reciprocal": torch.reciprocal,
    "Sin": torch.sin,
    "Cos": torch.cos,
    "Tan": torch.tan,
    "Atan": torch.atan,
    "Not": torch.logical_not,
    "IsNaN": torch.isnan,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "HardSwish": F.hardswish,
    "HardSigmoid": F.hardsigmoid,
    "Mish": F.mish,
    "Swish": F.silu,
    "Identity": lambda x: x,
    "Dropout": lambda x: x,
    "GlobalMaxPool": lambda x: by_rank("adaptive_max_pool", x)(x, 1),
    "GlobalAveragePool": lambda x: by_rank("adaptive_avg_pool", x)(x, 1),
}
_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Pow": torch.pow,
    "Mod": torch.remainder,
    "MatMul": torch.matmul,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "Less": torch.lt,
    "GreaterOrEqual": torch.ge,
    "LessOrEqual": torch.le,
    "PRelu": lambda x, slope: F.prelu(x, slope.flatten()),
}
_VARIADIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Sum": torch.add,
    "Max": torch.maximum,
    "Min": torch.minimum,
}
_REDUCTIONS: dict[str, Callable[[Tensor, list[int], bool], Tensor]] = {
    "ReduceMean": lambda x, axes, keep: x.mean(axes, keepdim=keep),
    "ReduceSum": lambda x, axes, keep: x.sum(axes, keepdim=keep),
    "ReduceMax": lambda x, axes, keep: x.amax(axes, keepdim=keep),
    "ReduceMin": lambda x, axes, keep: x.amin(axes, keepdim=keep),
    "ReduceL2": lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keepdim=keep),
    "ReduceL1": lambda x, axes, keep: torch.linalg.vector_norm(x, 1, axes, keepdim=keep),
    "ReduceSumSquare": lambda x, axes, keep: x.square().sum(axes, keepdim=keep),
    "ReduceLogSumExp": lambda x, axes, keep: x.logsumexp(axes, keepdim=keep),
}


def by_rank(name: str, x: Tensor) -> Callable[..., Any]:
    """Return torch's function `name` for sequences, images or volumes, by the rank of `x`."""
    function: Callable[..., Any] = getattr(F, f"{name}{x.dim() - 2}d")
    return function


@operation(*_UNARY)
def _unary(c: Call) -> Tensor:
    return _UNARY[c.operation.kind](c[0])


@operation(*_BINARY)
def _binary(c: Call) -> Tensor:
    return _BINARY[c.operation.kind](c[0], c[1])


@operation("Mul")
def _mul(c: Call) -> Tensor:
    for value, factor in ((c[0], c[1]), (c[1], c[0])):
        if factor.numel() == 1 and factor.dim() <= value.dim() and not factor.is_meta and not factor.item():
            return value * 0  # a branch that is switched off; the tracer recognises the number, as in a module
    return torch.mul(c[0], c[1])


@operation(*_VARIADIC)
def _variadic(c: Call) -> Tensor:
    result = c[0]
    for number in range(1, len(c.inputs)):
        result = _VARIADIC[c.operation.kind](result, c[number])
    return result


@operation(*_REDUCTIONS)
def _reduction(c: Call) -> Tensor:
    axes = c.setting("axes", 1) or []
    if not axes and c.get("noop_with_empty_axes"):
        return c[0]
    return _REDUCTIONS[c.operation.kind](c[0], axes or list(range(c[0].dim())), bool(c.get("keepdims", 1)))


@operation("ReduceProd")
def _product(c: Call) -> Tensor:
    result, keep = c[0], bool(c.get("keepdims", 1))
    axes = {axis % result.dim() for axis in c.setting("axes", 1) or range(result.dim())}
    for axis in sorted(axes, reverse=True):
        result = result.prod(axis, keepdim=keep)
    return result


@operation("ArgMax", "ArgMin")
def _argmax(c: Call) -> Tensor:
    function = torch.argmax if c.operation.kind == "ArgMax" else torch.argmin
    return function(c[0], c.get("axis", 0), bool(c.get("keepdims", 1)))


@operation("Div")
def _div(c: Call) -> Tensor:
    integers = not (c[0].is_floating_point() or c[1].is_floating_point())
    return torch.div(c[0], c[1], rounding_mode="trunc") if integers else torch.div(c[0], c[1])


@operation("LeakyRelu")
def _leaky_relu(c: Call) -> Tensor:
    return F.leaky_relu(c[0], c.get("alpha", 0.01))


@operation("Elu", "Celu", "Selu")
def _elu(c: Call) -> Tensor:
    return F.elu(c[0], c.get("alpha", 1.0))


@operation("Gelu")
def _gelu(c: Call) -> Tensor:
    return F.gelu(c[0])


@operation("Clip")
def _clip(c: Call) -> Tensor:
    return torch.clamp(c[0], c.scalar("min", 1), c.scalar("max", 2))


@operation("Softmax", "LogSoftmax")
def _softmax(c: Call) -> Tensor:
    function = torch.softmax if c.operation.kind == "Softmax" else torch.log_softmax
    if c.version >= _SOFTMAX_OVER_ONE_AXIS:
        return function(c[0], c.get("axis", -1))
    axis = c.get("axis", 1) % c[0].dim()
    if axis == c[0].dim() - 1:
        return function(c[0], axis)
    return function(c[0].flatten(axis), -1).reshape(c[0].shape)
