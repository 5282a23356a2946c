"""Networks in ONNX files."""

from predictor.graph.from_onnx.file import OnnxError, identity
from predictor.graph.from_onnx.network import OnnxNetwork, read_onnx

__all__ = ["OnnxError", "OnnxNetwork", "identity", "read_onnx"]
