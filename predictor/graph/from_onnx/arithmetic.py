"""Arithmetic on every value, and over axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from predictor.graph.from_onnx.call import Call, operation

_ONLY_LAST = 13  # from this version on, softmax is over one axis

_ONE: dict[str, Callable[[Tensor], Tensor]] = {
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
_TWO: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
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
_MANY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Sum": torch.add,
    "Max": torch.maximum,
    "Min": torch.minimum,
}
_OVER_AXES: dict[str, Callable[[Tensor, list[int], bool], Tensor]] = {
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
    """The function for sequences, images or volumes."""
    function: Callable[..., Any] = getattr(F, f"{name}{x.dim() - 2}d")
    return function


@operation(*_ONE)
def _one(c: Call) -> Tensor:
    return _ONE[c.operation.kind](c[0])


@operation(*_TWO)
def _two(c: Call) -> Tensor:
    return _TWO[c.operation.kind](c[0], c[1])


@operation("Mul")
def _mul(c: Call) -> Tensor:
    for one, other in ((0, 1), (1, 0)):
        number = c[other]
        if number.numel() == 1 and number.dim() <= c[one].dim() and not number.is_meta and not number.item():
            return c[one] * 0  # a branch that is switched off, told by its number as in a module
    return torch.mul(c[0], c[1])


@operation(*_MANY)
def _many(c: Call) -> Tensor:
    found = c[0]
    for number in range(1, len(c.given)):
        found = _MANY[c.operation.kind](found, c[number])
    return found


@operation(*_OVER_AXES)
def _over_axes(c: Call) -> Tensor:
    axes = c.setting("axes", 1) or []
    if not axes and c.get("noop_with_empty_axes"):
        return c[0]
    return _OVER_AXES[c.operation.kind](c[0], axes or list(range(c[0].dim())), bool(c.get("keepdims", 1)))


@operation("ReduceProd")
def _product(c: Call) -> Tensor:
    found, keep = c[0], bool(c.get("keepdims", 1))
    axes = {axis % found.dim() for axis in c.setting("axes", 1) or range(found.dim())}
    for axis in sorted(axes, reverse=True):
        found = found.prod(axis, keepdim=keep)
    return found


@operation("ArgMax", "ArgMin")
def _argmax(c: Call) -> Tensor:
    function = torch.argmax if c.operation.kind == "ArgMax" else torch.argmin
    return function(c[0], c.get("axis", 0), bool(c.get("keepdims", 1)))


@operation("Div")
def _div(c: Call) -> Tensor:
    whole = not (c[0].is_floating_point() or c[1].is_floating_point())
    return torch.div(c[0], c[1], rounding_mode="trunc") if whole else torch.div(c[0], c[1])


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
    if c.version >= _ONLY_LAST:
        return function(c[0], c.get("axis", -1))
    axis = c.get("axis", 1) % c[0].dim()
    if axis == c[0].dim() - 1:
        return function(c[0], axis)
    return function(c[0].flatten(axis), -1).reshape(c[0].shape)
