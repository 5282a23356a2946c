"""An operation of an ONNX file, what it is given, and the table of what it is in torch's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

DTYPES = {  # by their numbers in files
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
    """A node of a file. inputs: names, "" for one that is left out. domain: "" for ONNX's own."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""


class UnsupportedError(Exception):
    """A way of calling an operation that is not told here."""


@dataclass(frozen=True, slots=True)
class Call:
    """An operation and what it is given. known: values of an input by number; raises where they depend on the image.

    version: of ONNX's operations.
    """

    operation: Operation
    given: Sequence[Tensor | None]
    known: Callable[[int], list[Any]]
    version: int

    def __getitem__(self, number: int) -> Tensor:
        tensor = self.given[number]
        assert tensor is not None
        return tensor

    def has(self, number: int) -> bool:
        """Whether an input is there."""
        return number < len(self.given) and self.given[number] is not None

    def optional(self, number: int) -> Tensor | None:
        """An input, or None."""
        return self.given[number] if self.has(number) else None

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.operation.attributes.get(name, default)

    def setting(self, name: str, number: int, default: Any = None) -> Any:
        """Numbers that are an attribute in some versions and an input in others."""
        if name in self.operation.attributes:
            return self.operation.attributes[name]
        return self.known(number) if self.has(number) else default

    def scalar(self, name: str, number: int) -> float | None:
        """The same for one number."""
        found = self.setting(name, number)
        return float(found[0] if isinstance(found, list) else found) if found is not None and found != [] else None


Made = Tensor | Sequence[Tensor]
TABLE: dict[str, Callable[[Call], Made]] = {}


def operation(*kinds: str) -> Callable[[Callable[[Call], Made]], Callable[[Call], Made]]:
    def add(function: Callable[[Call], Made]) -> Callable[[Call], Made]:
        TABLE.update(dict.fromkeys(kinds, function))
        return function

    return add
