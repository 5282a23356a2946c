"""Computational graphs of networks, traced from PyTorch modules or ONNX files."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from predictor.graph.structure import Graph, Node

if TYPE_CHECKING:
    from predictor.graph.from_onnx import OnnxError, read_onnx
    from predictor.graph.tracing import TraceError, trace

__all__ = ["Graph", "Node", "OnnxError", "TraceError", "read_onnx", "trace"]

_LAZY_IMPORTS = {
    "OnnxError": "predictor.graph.from_onnx",
    "TraceError": "predictor.graph.tracing",
    "read_onnx": "predictor.graph.from_onnx",
    "trace": "predictor.graph.tracing",
}


def __getattr__(name: str) -> Any:
    """Import the tracer on first use (PEP 562), because reading graphs does not need torch."""
    if name not in _LAZY_IMPORTS:
        raise AttributeError(f"module 'predictor.graph' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY_IMPORTS[name]), name)
