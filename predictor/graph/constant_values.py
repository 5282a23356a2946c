"""Values of constants that a module makes on the image's device, which is the meta device during a trace.

A module may read them, for example to ask whether a mask of ones has a zero in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

from predictor.graph.vocabulary import CONSTANT

_MAX_SIZE = 4_000_000  # numbers; the values of larger constants are not computed
_META, _CPU = torch.device("meta"), torch.device("cpu")
_FROM_NUMBERS = (torch.tensor, torch.as_tensor)
_RANDOM = ("rand", "normal", "bernoulli", "multinomial", "dropout", "exponential", "uniform")


class TensorsWithValues(TorchFunctionMode):
    """Makes tensors from Python's numbers on the CPU first, because on the meta device they would lose their values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function of torch."""
        kwargs = kwargs or {}
        if func not in _FROM_NUMBERS or torch.device(kwargs.get("device") or _CPU) != _META:
            return func(*args, **kwargs)
        if not args or isinstance(args[0], Tensor):
            return func(*args, **kwargs)
        return func(*args, **kwargs | {"device": _CPU}).to(_META)


class ConstantValues:
    """Computes operations on constants once more, with values, next to the meta tensors that stand for them."""

    def __init__(self) -> None:
        self._values: dict[int, Tensor] = {}  # by the id of a meta tensor, which the recorder keeps alive
        self._lost = set[int]()  # storages into which something without values was written

    def compute(
        self, func: Any, args: Any, kwargs: dict[str, Any], inputs: Sequence[Tensor], on_constants: bool
    ) -> Any | None:
        """Return the result of an operation with values; None if it has none, or if they are not needed.

        inputs: all tensors in the arguments. on_constants: whether none of them depends on the image or on weights.
        """
        name = func._schema.name.split("::")[-1]
        reads_sizes = name in CONSTANT
        if not (on_constants or reads_sizes) or any(part in name for part in _RANDOM):
            return None
        on_meta = kwargs.get("device") == _META or any(t.is_meta for t in inputs)
        if not on_meta or (not reads_sizes and any(t.is_meta and not self.has(t) for t in inputs)):
            return None
        if any(t.numel() > _MAX_SIZE for t in inputs) or _size(func, args) > _MAX_SIZE:
            return None

        def value(tensor: Tensor) -> Tensor:
            if not tensor.is_meta:
                return tensor
            known = self._values.get(id(tensor)) if self.has(tensor) else None
            return torch.empty_like(tensor, device=_CPU) if known is None else known

        try:
            args, kwargs = tree_map_only(Tensor, value, (args, kwargs))
            args, kwargs = tree_map_only(torch.device, lambda device: _CPU, (args, kwargs))
            return func(*args, **kwargs)
        except Exception:  # the meta operation reports what is wrong with it
            return None

    def has(self, tensor: Tensor) -> bool:
        """Return whether the values of a meta tensor are known."""
        return id(tensor) in self._values and tensor.untyped_storage()._cdata not in self._lost

    def keep(self, result: Any, values: Any) -> None:
        """Remember the values of all tensors in a result."""
        for tensor, value in zip(tree_leaves(result), tree_leaves(values), strict=False):
            if isinstance(tensor, Tensor) and tensor.is_meta and isinstance(value, Tensor):
                self._values[id(tensor)] = value

    def forget(self, written: Tensor) -> None:
        """Forget the values of a tensor, and of all that share its storage, because others were written to it."""
        if written.is_meta:
            self._lost.add(written.untyped_storage()._cdata)


def run_on_meta(run: Callable[[], Any], values: Any) -> Any:
    """Return the result of an operation on meta tensors, or the values themselves where they are not tensors.

    Where the size of the result depends on values, meta tensors of that size are returned. values: the result with
    values, or None.
    """
    if values is None:
        return run()
    if not any(isinstance(leaf, Tensor) for leaf in tree_leaves(values)):
        return values
    try:
        return run()
    except (RuntimeError, NotImplementedError):  # such as nonzero, which has no result without values
        return tree_map_only(Tensor, lambda value: torch.empty_like(value, device=_META), values)


def _size(func: Any, args: Any) -> int:
    """Return how many numbers an operation without inputs makes, as far as its arguments tell; arange is small."""
    sizes = args[0] if args and isinstance(args[0], list | tuple) else []
    size = 1
    for side in sizes:
        size *= side if isinstance(side, int) else 1
    return size
