"""Computational graphs of any network."""

from predictor.graph.structure import Graph, Node
from predictor.graph.trace import TraceError, trace

__all__ = ["Graph", "Node", "TraceError", "trace"]
