"""An operation of an ONNX file with its inputs, and the table of functions that run operations in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

DTYPES = {  # by the numbers of ONNX's data types
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}


@dataclass(frozen=True, slots=True)
class Operation:
    """A node of an ONNX file.

    kind: its op_type. inputs: names of values, "" for an optional input that is absent. domain: "" for ONNX's own
    operations.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""


class UnsupportedError(Exception):
    """An operation, or settings of it, that no function here can run."""


@dataclass(frozen=True, slots=True)
class Call:
    """An operation with its inputs.

    inputs: None for an absent one. input_values: returns the values of an input by its number; raises OnnxError if they
    depend on the image. version: opset version.
    """

    operation: Operation
    inputs: Sequence[Tensor | None]
    input_values: Callable[[int], list[Any]]
    version: int

    def __getitem__(self, number: int) -> Tensor:
        """Return a required input."""
        tensor = self.inputs[number]
        assert tensor is not None
        return tensor

    def has(self, number: int) -> bool:
        """Return whether an input is present."""
        return number < len(self.inputs) and self.inputs[number] is not None

    def optional(self, number: int) -> Tensor | None:
        """Return an input, or None if it is absent."""
        return self.inputs[number] if self.has(number) else None

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute."""
        return self.operation.attributes.get(name, default)

    def setting(self, name: str, number: int, default: Any = None) -> Any:
        """Return numbers that are an attribute in some opset versions and input `number` in others."""
        if name in self.operation.attributes:
            return self.operation.attributes[name]
        return self.input_values(number) if self.has(number) else default

    def scalar(self, name: str, number: int) -> float | None:
        """Return a single number that is an attribute in some opset versions and input `number` in others."""
        value = self.setting(name, number)
        return float(value[0] if isinstance(value, list) else value) if value is not None and value != [] else None


Result = Tensor | Sequence[Tensor]
TABLE: dict[str, Callable[[Call], Result]] = {}


def operation(*kinds: str) -> Callable[[Callable[[Call], Result]], Callable[[Call], Result]]:
    """Decorator: register a function that runs operations of these kinds."""

    def add(function: Callable[[Call], Result]) -> Callable[[Call], Result]:
        TABLE.update(dict.fromkeys(kinds, function))
        return function

    return add
