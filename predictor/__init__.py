"""Predict labels of networks before they are trained: graphs, costs, models, and the errors of all packages."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from predictor.api import Predictor
    from predictor.cost import Cost, measure_cost
    from predictor.errors import AIOPError
    from predictor.graph import Graph, read_onnx, trace

__all__ = ["AIOPError", "Cost", "Graph", "Predictor", "measure_cost", "read_onnx", "trace"]

_MODULES = {
    "AIOPError": "predictor.errors",
    "Cost": "predictor.cost",
    "Graph": "predictor.graph",
    "Predictor": "predictor.api",
    "measure_cost": "predictor.cost",
    "read_onnx": "predictor.graph",
    "trace": "predictor.graph",
}


def __getattr__(name: str) -> Any:
    """Import on first use (PEP 562): commands that only read labels do not wait for torch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'predictor' has no attribute '{name}'")
    return getattr(importlib.import_module(_MODULES[name]), name)
