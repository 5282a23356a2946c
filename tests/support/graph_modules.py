"""Small networks for tests, written as one function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Of(nn.Module):
    """A module that computes `body(self, image)` with some layers."""

    def __init__(self, body: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self._body = body
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, image: Tensor) -> Any:
        return self._body(self, image)
