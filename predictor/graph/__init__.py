"""Computational graphs of any network."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from predictor.graph.structure import Graph, Node

if TYPE_CHECKING:
    from predictor.graph.from_onnx import OnnxError, read_onnx
    from predictor.graph.tracing import TraceError, trace

__all__ = ["Graph", "Node", "OnnxError", "TraceError", "read_onnx", "trace"]

_HOMES = {
    "OnnxError": "predictor.graph.from_onnx",
    "TraceError": "predictor.graph.tracing",
    "read_onnx": "predictor.graph.from_onnx",
    "trace": "predictor.graph.tracing",
}


def __getattr__(name: str) -> Any:
    """Load the tracer when it is asked for (PEP 562): who only reads graphs need not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'predictor.graph' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
