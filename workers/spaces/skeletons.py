"""Backbones without weights, put together from blocks that are built once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from workers.messages.architecture import Architecture
from workers.spaces.base import Backbone, Space
from workers.spaces.elastic_blocks import ElasticSpace
from workers.spaces.staged_backbone import BackbonePlan, Part

AnyModule = TypeVar("AnyModule", bound=nn.Module)
MapTensor = Callable[[str, Tensor], Tensor]


class Skeletons:
    """Backbones of one space on the meta device.

    Networks of an `ElasticSpace` have the same modules where they have equal blocks in the same place: building a
    network takes a hundred times as long as putting it together. Give a network its weights by `map_tensors` or
    `torch.func.functional_call`, and change no skeleton in place.
    """

    def __init__(
        self,
        space: Space,
        settings: Mapping[str, Any] | None = None,
        adjust: Callable[[nn.Module], None] = lambda module: None,
    ) -> None:
        """settings: the recipe's `body`, as for `Space.build`. adjust: is called once with each new module."""
        self._space, self._settings, self._adjust = space, settings, adjust
        self._modules: dict[tuple[str, Part], nn.Module] = {}
        self._depths: dict[Part, int] = {}

    def build(self, architecture: Architecture) -> Backbone:
        """Return the backbone of `architecture`. Raises as `Space.build` does."""
        plan = self._plan(architecture)
        if plan is not None:
            return plan.build(self._module)
        with torch.device("meta"):
            backbone = self._space.build(architecture, self._settings)
        self._adjust(backbone)
        return backbone

    def depth(self, architecture: Architecture) -> int:
        """Return the number of convolutions in the backbone."""
        plan = self._plan(architecture)
        if plan is None:
            return _count_convolutions(self.build(architecture))
        return sum(map(self._depth, (plan.stem, *(part for stage in plan.stages for part in stage))))

    def _plan(self, architecture: Architecture) -> BackbonePlan | None:
        return self._space.plan(architecture, self._settings) if isinstance(self._space, ElasticSpace) else None

    def _module(self, name: str, part: Part) -> nn.Module:
        """Return the module of `part`, one for each place: a network may have equal blocks, with other weights."""
        if (name, part) not in self._modules:
            with torch.device("meta"):
                module = self._modules[name, part] = part.build()
            self._adjust(module)
        return self._modules[name, part]

    def _depth(self, part: Part) -> int:
        if part not in self._depths:
            with torch.device("meta"):
                self._depths[part] = _count_convolutions(part.build())
        return self._depths[part]


def map_tensors(module: AnyModule, parameter: MapTensor, buffer: MapTensor) -> AnyModule:
    """Return a copy of `module` with other tensors; everything else in it is the same object.

    parameter, buffer: called once per tensor with its name, as in `named_parameters` and `named_buffers`, and the
    tensor. They return its replacement.
    """
    return _Copy(parameter, buffer).of(module, "")


class _Copy:
    def __init__(self, parameter: MapTensor, buffer: MapTensor) -> None:
        self._parameter, self._buffer = parameter, buffer
        self._copies: dict[int, Any] = {}  # by the `id` of what was copied, as modules and tensors may occur twice

    def of(self, module: AnyModule, prefix: str) -> AnyModule:
        copied: AnyModule | None = self._copies.get(id(module))
        if copied is None:
            copied = self._copies[id(module)] = module.__new__(type(module))  # as torch's DataParallel does
            state = vars(copied)
            state.update(vars(module))
            state["_parameters"] = self._mapped(module._parameters, prefix, self._parameter)
            state["_buffers"] = self._mapped(module._buffers, prefix, self._buffer)
            children = module._modules.items()
            state["_modules"] = {n: None if m is None else self.of(m, f"{prefix}{n}.") for n, m in children}
        return copied

    def _mapped(self, tensors: Mapping[str, Any], prefix: str, replace: MapTensor) -> dict[str, Tensor | None]:
        mapped = dict[str, Tensor | None]()
        for name, tensor in tensors.items():
            if tensor is not None and id(tensor) not in self._copies:
                self._copies[id(tensor)] = replace(prefix + name, tensor)
            mapped[name] = None if tensor is None else self._copies[id(tensor)]
        return mapped


def _count_convolutions(module: nn.Module) -> int:
    return sum(isinstance(part, nn.Conv2d) for part in module.modules())
