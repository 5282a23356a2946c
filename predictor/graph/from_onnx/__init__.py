"""Read networks from ONNX files."""

from predictor.graph.from_onnx.file import OnnxError, structure_hash
from predictor.graph.from_onnx.network import OnnxNetwork, read_onnx

__all__ = ["OnnxError", "OnnxNetwork", "read_onnx", "structure_hash"]
