"""FLOPs of operations that torch's own counter has no formula for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry


def flops_of(func: Any, args: Any, kwargs: Mapping[str, Any], out: Any) -> int:
    """Of one call of an operation, a multiply-add counted twice; 0 for what is no convolution or matrix product."""
    formula = flop_registry.get(func._overloadpacket) or _OF_LIBRARIES.get(func._schema.name)
    return int(formula(*args, **kwargs, out_val=out)) if formula else 0


def library_formulas() -> dict[Any, Callable[..., int]]:
    """For torch's FlopCounterMode: the formulas for operations of libraries that are loaded."""
    found = {}
    for name, formula in _OF_LIBRARIES.items():
        library, operation = name.split("::")
        if packet := getattr(getattr(torch.ops, library), operation, None):
            found[packet] = formula
    return found


def _deformable_convolution(images: Tensor, weight: Tensor, *settings: Any, out_val: Tensor) -> int:
    """As a convolution at fixed places: what finding the values between pixels takes does not count."""
    return 2 * out_val.numel() * weight[0].numel()


_deformable_convolution._get_raw = True  # type: ignore[attr-defined] # it takes tensors, not their shapes
_OF_LIBRARIES: dict[str, Callable[..., int]] = {"torchvision::deform_conv2d": _deformable_convolution}
