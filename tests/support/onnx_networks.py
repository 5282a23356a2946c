"""Networks as torch modules and as ONNX files of the same weights, made without an exporter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RECURRENT_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


class OnnxBuilder:
    """Collects operations and weights, then writes a file whose image is `x`."""

    def __init__(self, channels: int = 3, side: int = 16, kind: int = TensorProto.FLOAT) -> None:
        self.kind = kind
        self._nodes, self._arrays, self._shape = list[Any](), list[Any](), [1, channels, side, side]

    def weight(self, *shape: int, dtype: str = "float32") -> str:
        """Add an array of ones and return its name."""
        name = f"w{len(self._arrays)}"
        if dtype == "float32" and self.kind == TensorProto.FLOAT16:
            dtype = "float16"
        self._arrays.append(numpy_helper.from_array(np.ones(shape, dtype), name))
        return name

    def constant(self, values: Any, dtype: str = "int64") -> str:
        """Add a constant and return its name."""
        name = f"c{len(self._arrays)}"
        self._arrays.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def node(self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> str:
        """Add an operation and return the name of its first output."""
        names = [f"v{len(self._nodes)}_{number}" for number in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, domain=domain, **attributes))
        return names[0]

    def output(self, name: str, number: int) -> str:
        """Return another output of the operation whose first output is `name`."""
        return f"{name.rsplit('_', 1)[0]}_{number}"

    def quantised(self, name: str) -> str:
        """Add a pair of QuantizeLinear and DequantizeLinear."""
        scale, zero = self.constant(0.1, "float32"), self.constant(0, "uint8")
        return self.node("DequantizeLinear", self.node("QuantizeLinear", name, scale, zero), scale, zero)

    def quantised_weight(self, *shape: int) -> str:
        """Add a weight in 8 bits, with a scale for each output channel, and its DequantizeLinear."""
        scale = self.constant([0.1] * shape[0], "float32")
        return self.node("DequantizeLinear", self.weight(*shape, dtype="int8"), scale, axis=0)

    def write(self, path: Path, result: str, opset: int, shapes: dict[str, Sequence[int]] | None = None) -> Path:
        """Write the file. shapes: of values that ONNX cannot infer."""
        image = helper.make_tensor_value_info("x", self.kind, self._shape)
        output = helper.make_tensor_value_info(result, self.kind, None)
        known = [helper.make_tensor_value_info(name, self.kind, shape) for name, shape in (shapes or {}).items()]
        graph = helper.make_graph(self._nodes, "net", [image], [output], self._arrays, value_info=known)
        imports = [
            helper.make_opsetid("", opset),
            helper.make_opsetid("com.microsoft", 1),
            helper.make_opsetid("my", 1),
        ]
        onnx.save(helper.make_model(graph, opset_imports=imports), str(path))
        return path
