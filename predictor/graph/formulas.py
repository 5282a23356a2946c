"""FLOP counts of operations, with formulas for those that torch's own counter lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry


def count_flops(func: Any, args: Any, kwargs: Mapping[str, Any], out: Any) -> int:
    """Return the FLOPs of one call, two per multiply-add. Only convolutions and matrix products have any."""
    formula = flop_registry.get(func._overloadpacket) or _LIBRARY_FORMULAS.get(func._schema.name)
    return int(formula(*args, **kwargs, out_val=out)) if formula else 0


def uncounted_operation(func: Any, args: Sequence[Any], op: str, flops: int) -> str:
    """Return the name of an operation whose FLOPs are not known; empty if they are, or if it has none.

    op: the kind of its node. These are operations of libraries, those that an ONNX file has and no function here runs,
    and torch's matrix products and decompositions without a formula.
    """
    library, _, name = func._schema.name.partition("::")
    if flops or (op != "other" and name not in _WITHOUT_FORMULA):
        return ""
    if library == _ONNX:
        return str(args[-1])
    if library != "aten":
        return f"{library}::{name}"
    has_products = name in _WITHOUT_FORMULA or name.startswith(("linalg_", "_linalg_")) or "_rnn" in name
    return name if has_products else ""


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


_ONNX = "aiop"  # the library of operations that an ONNX file has and no function runs; see `from_onnx.network`
_NAMES = (
    "mv addmv dot vdot inner ger addr addbmm _trilinear _cdist_forward _euclidean_dist cholesky_solve "
    "triangular_solve ormqr lstm gru _thnn_fused_lstm_cell"
)
_WITHOUT_FORMULA = frozenset(_NAMES.split())
_deformable_convolution._get_raw = True  # type: ignore[attr-defined] # the formula takes tensors, not their shapes
_LIBRARY_FORMULAS: dict[str, Callable[..., int]] = {"torchvision::deform_conv2d": _deformable_convolution}
