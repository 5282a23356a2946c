"""Record the operations that torch runs on meta tensors, as nodes of a graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from predictor.graph.constant_values import ConstantValues, run_on_meta
from predictor.graph.formulas import count_flops, uncounted_operation
from predictor.graph.structure import Node
from predictor.graph.vocabulary import ATEN, CONSTANT, LAYOUT, ZEROS

_IMAGE_NODE = 0
# Operations that networks repeat with equal shapes. Their results never share memory with their arguments.
_CACHED_NAMES = (
    "convolution _native_batch_norm_legit_no_training native_batch_norm native_layer_norm relu silu gelu sigmoid "
    "hardswish hardsigmoid hardtanh add mul mean avg_pool2d max_pool2d_with_indices mm addmm bmm _softmax "
    "native_group_norm upsample_bilinear2d upsample_nearest2d"
)
_CACHED = frozenset(_CACHED_NAMES.split())
# Operations of one tensor that write into it: on meta tensors they change nothing, and torch takes milliseconds for it.
_WRITING = frozenset(("relu_", "silu_", "sigmoid_", "hardswish_", "hardsigmoid_", "hardtanh_", "leaky_relu_"))
_TO_COPY = torch.ops.aten._to_copy.default
_MAX_RESULTS = 20_000  # in `_results`, a kilobyte each
_flops: dict[Any, int] = {}  # of `_count_flops`, with the same keys
_results: dict[Any, Any] = {}  # of `Recorder._run`, by operation and argument shapes; networks of one space share most


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a tensor comes from.

    node: number of the node it depends on; None if it does not depend on the image. weights: then the parameters it is
    computed from, as keys of `Recorder._sizes`, and the computations with FLOPs, as keys of `Recorder._weight_flops`.
    time: number of the operation that made it. channels: 0 if unknown.
    """

    node: int | None
    weights: frozenset[int]
    time: int
    channels: int


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects `nodes` while it is active. Values that do not depend on the image, computed or not, are not nodes."""

    def __init__(self, image: Tensor, weights: Iterable[Tensor], zeros_are_nodes: bool = False) -> None:
        """weights: the parameters, on the meta device. zeros_are_nodes: whether zeros of a map's size depend on it."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.nodes = [_make_node("input", (), [image], image, 0, image.shape[1])]
        self.uncounted: dict[int, str] = {}  # names of operations whose FLOPs are not known, by number of their node
        self._sizes = {id(weight): weight.numel() for weight in weights}
        self._weight_flops: dict[int, int] = {}  # FLOPs of computations on weights, by minus their time
        self._counted = set[int]()  # weights and computations that are part of an earlier node
        self._keep_alive: list[Tensor] = [image, *weights]  # so that no id is used again
        self._origins = {id(w): _Origin(None, frozenset([id(w)]), 0, 0) for w in weights}
        self._origins[id(image)] = _Origin(_IMAGE_NODE, frozenset(), 0, image.shape[1])
        self._last_write: dict[int, _Origin] = {}  # by storage
        self._meta_constants: dict[int, Tensor] = {}
        self._values = ConstantValues()
        self._time = 0
        self._constant = CONSTANT - ZEROS if zeros_are_nodes else CONSTANT

    def source_node(self, tensor: Tensor) -> int | None:
        """Return the number of the node that a tensor comes from; None if it does not depend on the image."""
        return self._origin(tensor).node

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and record it if it depends on the image."""
        kwargs = kwargs or {}
        self._time += 1
        inputs = _tensors((args, kwargs))
        if func is _TO_COPY and _is_real_integer(inputs[0]):
            kwargs = {**kwargs, "device": inputs[0].device}  # keeps its value on meta too, such as the size of a map
        origins = [self._origin(t) for t in inputs]
        on_constants = all(o.node is None and all(w < 0 for w in o.weights) for o in origins)
        values = self._values.compute(func, args, kwargs, inputs, on_constants)
        if any(t.is_meta for t in inputs) and not all(t.is_meta for t in inputs):
            args, kwargs = tree_map_only(Tensor, self._to_meta, (args, kwargs))
        result = run_on_meta(partial(self._run, func, args, kwargs), values)
        outputs = _tensors(result)
        self._keep_alive += outputs
        in_place = func._schema.is_mutable
        if values is not None:
            self._values.keep(result, values)
        elif in_place and outputs:
            self._values.forget(outputs[0])
        origin = self._record(func, args, kwargs, result, inputs, origins)
        for tensor in outputs:
            self._origins[id(tensor)] = origin
        if in_place and outputs:
            self._last_write[outputs[0].untyped_storage()._cdata] = origin
        return result

    def _record(
        self, func: Any, args: Any, kwargs: Any, result: Any, inputs: list[Tensor], origins: list[_Origin]
    ) -> _Origin:
        """Add the node of an operation, if it has one, and return the origin of its results."""
        name = func._schema.name.split("::")[-1]
        kind = name.rstrip("_") if func._schema.is_mutable else name
        weights = frozenset[int]().union(*(o.weights for o in origins if o.node is None))
        sources = tuple(o.node for o in origins if o.node is not None)
        if not sources or kind in self._constant:
            if flops := _count_flops(func, args, kwargs, result):
                self._weight_flops[-self._time] = flops
                weights |= {-self._time}
            return _Origin(None, weights, self._time, 0)
        if kind in LAYOUT or (kind == "copy" and len(sources) == 1 and not weights):
            first = next(o for o in origins if o.node is not None)
            return _Origin(first.node, first.weights, self._time, first.channels)
        node = self._node(kind, func, args, kwargs, result, inputs, origins, weights)
        self.nodes.append(node)
        if uncounted := uncounted_operation(func, args, node.op, _count_flops(func, args, kwargs, result)):
            self.uncounted[len(self.nodes) - 1] = uncounted
        return _Origin(len(self.nodes) - 1, frozenset(), self._time, node.channels_out)

    def _run(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Run an operation. Networks repeat themselves and torch infers shapes slowly, so results are cached."""
        if func._schema.name.split("::")[-1] in _WRITING and args[0].is_meta:
            return args[0]
        if kwargs or not _is_cached(func) or not all(t.is_meta for t in _tensors(args)):
            return func(*args, **kwargs)  # the results of constants have values, which shapes do not determine
        key = func, *map(_cache_key, args)
        cached = _results.get(key)
        if cached is None:
            if len(_results) >= _MAX_RESULTS:
                _results.clear()
            cached = _results[key] = func(*args)
        # copied, because results may be written to
        return _new_like(cached) if isinstance(cached, Tensor) else tuple(map(_new_like, cached))

    def _node(
        self,
        kind: str,
        func: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        result: Any,
        inputs: list[Tensor],
        origins: list[_Origin],
        weights: frozenset[int],
    ) -> Node:
        sources = [(t, o) for t, o in zip(inputs, origins, strict=True) if o.node is not None]
        new_weights = weights - self._counted
        self._counted |= new_weights
        flops = _count_flops(func, args, kwargs, result) + sum(self._weight_flops.get(w, 0) for w in new_weights)
        output = _tensors(result)[0]
        op = ATEN.get(kind, "other")
        if op == "matmul" and weights:
            op = "linear"
        if op == "mul" and any(isinstance(arg, int | float) and arg == 0 for arg in args):
            op = "zero"  # a branch that is switched off, for any input
        if kind in ZEROS:
            op = "zero"
        numbers = tuple(dict.fromkeys(o.node for _, o in sources if o.node is not None))
        node = _make_node(op, numbers, [t for t, _ in sources], output, flops, sources[0][1].channels)
        params = sum(self._sizes.get(w, 0) for w in new_weights)
        if kind == "deform_conv2d":
            return _with_deformable_settings(node, args, id(args[4]) in self._sizes, params)
        return _with_settings(node, kind, args, params)

    def _origin(self, tensor: Tensor) -> _Origin:
        """Return the origin of a tensor, or of the last write into its storage if that is later."""
        own = self._origins.get(id(tensor), _Origin(None, frozenset(), 0, 0))
        last = self._last_write.get(tensor.untyped_storage()._cdata) if tensor.is_meta else None
        return last if last is not None and last.time > own.time else own

    def _to_meta(self, tensor: Tensor) -> Tensor:
        """Return the meta tensor for a constant on a real device; the same one at every call."""
        if tensor.is_meta:
            return tensor
        if id(tensor) not in self._meta_constants:
            self._keep_alive.append(tensor)
            self._meta_constants[id(tensor)] = torch.empty_like(tensor, device="meta")
        return self._meta_constants[id(tensor)]


def _is_real_integer(tensor: Tensor) -> bool:
    return not tensor.is_meta and not tensor.is_floating_point()


@cache
def _is_cached(func: Any) -> bool:
    return not func._schema.is_mutable and func._schema.name.split("::")[-1] in _CACHED


def _count_flops(func: Any, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> int:
    """Return the FLOPs of an operation, from the cache if it was counted for arguments of equal shapes."""
    if kwargs or not _is_cached(func):
        return count_flops(func, args, kwargs, result)
    key = func, *map(_cache_key, args)
    if key not in _flops:
        if len(_flops) >= _MAX_RESULTS:
            _flops.clear()
        _flops[key] = count_flops(func, args, kwargs, result)
    return _flops[key]


def _tensors(value: Any) -> list[Tensor]:
    """Return all tensors in nested lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _new_like(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _cache_key(value: Any) -> Any:
    """Return all of an argument that the shapes and types of the results depend on."""
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype
    return tuple(map(_cache_key, value)) if isinstance(value, list | tuple) else (type(value), value)


def _make_node(
    op: str, inputs: tuple[int, ...], sources: Sequence[Tensor], output: Tensor, flops: int, channels: int
) -> Node:
    """Return a node with its sizes. channels: of the first source, 0 if unknown."""
    first = sources[0]
    channels_in = channels if channels and first.numel() % channels == 0 else _channels(first)
    keeps_channels = op not in _CHANGES_CHANNELS and channels_in in output.shape[1:]
    channels_out = channels_in if keeps_channels else _channels(output)
    return Node(
        op=op,
        inputs=inputs,
        channels_in=channels_in,
        channels_out=channels_out,
        positions_in=first.numel() // max(1, channels_in),
        positions_out=output.numel() // max(1, channels_out),
        flops=flops,
    )


_CHANGES_CHANNELS = frozenset(("conv", "linear"))


def _channels(tensor: Tensor) -> int:
    """Return the size of the second axis of an image, or of the last axis of tokens."""
    if tensor.dim() == 0:
        return 1
    return int(tensor.shape[1] if tensor.dim() >= 4 else tensor.shape[-1])


def _with_settings(node: Node, kind: str, args: Sequence[Any], params: int) -> Node:
    """Return the node with the settings of its operation, from the arguments of the call."""
    if node.op == "conv":
        weight, bias, stride, dilation = args[1], args[2], args[3], args[5]
        transposed, groups = bool(args[6]), int(args[8])
        depthwise = 1 < groups == node.channels_in
        return replace(
            node,
            op="transposed_conv" if transposed else "depthwise_conv" if depthwise else "conv",
            kernel=_pair(weight.shape[2:]),
            stride=_pair(stride),
            dilation=_pair(dilation),
            groups=groups,
            bias=bias is not None,
            params=params,
        )
    if kind.startswith("_adaptive") or kind.startswith("adaptive"):
        window = round(sqrt(node.positions_in / max(1, node.positions_out)))
        return replace(node, kernel=(window, window), stride=(window, window), params=params)
    if node.op in ("max_pool", "avg_pool"):
        kernel = _pair(args[1])
        stride = _pair(args[2]) if len(args) > 2 and args[2] else kernel
        return replace(node, kernel=kernel, stride=stride, params=params)
    return replace(node, bias=node.op == "linear" and kind == "addmm", params=params)


def _with_deformable_settings(node: Node, args: Sequence[Any], bias: bool, params: int) -> Node:
    """Like `_with_settings`, for deformable convolutions. bias: torchvision passes one even if the layer has none."""
    stride, dilation, groups = (int(args[5]), int(args[6])), (int(args[9]), int(args[10])), int(args[11])
    kernel = _pair(args[1].shape[2:])
    return replace(node, kernel=kernel, stride=stride, dilation=dilation, groups=groups, bias=bias, params=params)


def _pair(sizes: int | Sequence[int]) -> tuple[int, int]:
    """Return height and width; a missing width equals the height."""
    listed = [sizes] if isinstance(sizes, int) else [int(size) for size in sizes]
    return (listed[-2], listed[-1]) if len(listed) > 1 else (listed[0], listed[0])
