"""Computational graphs of any network."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from predictor.graph.structure import Graph, Node

if TYPE_CHECKING:
    from predictor.graph.tracing import TraceError, trace

__all__ = ["Graph", "Node", "TraceError", "trace"]


def __getattr__(name: str) -> Any:
    """Load the tracer when it is asked for (PEP 562): who only reads graphs need not wait for torch."""
    if name not in ("TraceError", "trace"):
        raise AttributeError(f"module 'predictor.graph' has no attribute '{name}'")
    return getattr(importlib.import_module("predictor.graph.tracing"), name)
