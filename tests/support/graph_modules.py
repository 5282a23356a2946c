"""Small networks for tests, each written as one function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class FunctionModule(nn.Module):
    """A module with the given layers whose forward pass is `function(self, image)`."""

    def __init__(self, function: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self._function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, image: Tensor) -> Any:
        return self._function(self, image)
