"""FLOP counts of operations, with formulas for those that torch's own counter lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry


def count_flops(func: Any, args: Any, kwargs: Mapping[str, Any], out: Any) -> int:
    """Return the FLOPs of one call, two per multiply-add. Only convolutions and matrix products have any."""
    formula = flop_registry.get(func._overloadpacket) or _LIBRARY_FORMULAS.get(func._schema.name)
    return int(formula(*args, **kwargs, out_val=out)) if formula else 0


def library_formulas() -> dict[Any, Callable[..., int]]:
    """Return formulas for torch's FlopCounterMode, for the operations of libraries that are loaded."""
    formulas = {}
    for name, formula in _LIBRARY_FORMULAS.items():
        library, operation = name.split("::")
        if packet := getattr(getattr(torch.ops, library), operation, None):
            formulas[packet] = formula
    return formulas


def _deformable_convolution(images: Tensor, weight: Tensor, *settings: Any, out_val: Tensor) -> int:
    """Return the FLOPs of an ordinary convolution; the interpolation between pixels does not count."""
    return 2 * out_val.numel() * weight[0].numel()


_deformable_convolution._get_raw = True  # type: ignore[attr-defined] # the formula takes tensors, not their shapes
_LIBRARY_FORMULAS: dict[str, Callable[..., int]] = {"torchvision::deform_conv2d": _deformable_convolution}
