"""Watches torch's operations on meta tensors and notes those that depend on the image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from predictor.graph.formulas import flops_of
from predictor.graph.structure import Node
from predictor.graph.vocabulary import ATEN, CONSTANT, LAYOUT

_INPUT = 0  # number of the image's node
# Operations of which networks have many alike. Their results never share memory with what they are given.
_REPEATED_NAMES = (
    "convolution _native_batch_norm_legit_no_training native_batch_norm native_layer_norm relu silu gelu sigmoid "
    "hardswish add mul avg_pool2d max_pool2d_with_indices mm addmm bmm _softmax native_group_norm upsample_bilinear2d "
    "upsample_nearest2d"
)
_REPEATED = frozenset(_REPEATED_NAMES.split())


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a tensor comes from. node: None for what does not depend on the image, then weights: what it is made of.

    Weights are parameters, and computations on them that count as work.
    """

    node: int | None
    weights: frozenset[int]
    time: int
    channels: int  # 0 where unknown


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects `nodes` while it is entered. Values that do not depend on the image are no nodes, however computed."""

    def __init__(self, image: Tensor, weights: Iterable[Tensor]) -> None:
        """weights: the parameters, on the meta device."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.nodes = [_described("input", (), [image], image, 0, image.shape[1])]
        self._sizes = {id(weight): weight.numel() for weight in weights}
        self._work: dict[int, int] = {}  # FLOPs of what is computed from weights
        self._counted = set[int]()
        self._kept: list[Tensor] = [image, *weights]  # so that their ids stay theirs
        self._origins = {id(w): _Origin(None, frozenset([id(w)]), 0, 0) for w in weights}
        self._origins[id(image)] = _Origin(_INPUT, frozenset(), 0, image.shape[1])
        self._written: dict[int, _Origin] = {}  # storage to what was last written into it
        self._on_meta: dict[int, Tensor] = {}
        self._results: dict[Any, Any] = {}  # of calls whose tensors had the same form
        self._time = 0

    def origin(self, tensor: Tensor) -> int | None:
        """Number of the node that a tensor comes from."""
        return self._origin(tensor).node

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and note it where it depends on the image."""
        kwargs = kwargs or {}
        self._time += 1
        given = _tensors((args, kwargs))
        if any(t.is_meta for t in given) and not all(t.is_meta for t in given):
            args, kwargs = tree_map_only(Tensor, self._to_meta, (args, kwargs))
        out = self._result(func, args, kwargs)
        made = _tensors(out)
        self._kept += made
        origins = [self._origin(t) for t in given]
        name = func._schema.name.split("::")[-1]
        in_place = func._schema.is_mutable
        kind = name.rstrip("_") if in_place else name
        weights = frozenset[int]().union(*(o.weights for o in origins if o.node is None))
        sources = tuple(o.node for o in origins if o.node is not None)
        if not sources or kind in CONSTANT:
            if work := flops_of(func, args, kwargs, out):
                self._work[-self._time] = work
                weights |= {-self._time}
            origin = _Origin(None, weights, self._time, 0)
        elif kind in LAYOUT or (kind == "copy" and len(sources) == 1 and not weights):
            first = next(o for o in origins if o.node is not None)
            origin = _Origin(first.node, first.weights, self._time, first.channels)
        else:
            node = self._node(kind, func, args, kwargs, out, given, origins, weights)
            self.nodes.append(node)
            origin = _Origin(len(self.nodes) - 1, frozenset(), self._time, node.channels_out)
        for tensor in made:
            self._origins[id(tensor)] = origin
        if in_place and made:
            self._written[made[0].untyped_storage()._cdata] = origin
        return out

    def _result(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """What the operation gives. Networks repeat themselves, and torch takes long to tell a result's form."""
        if kwargs or not _is_repeated(func) or not all(t.is_meta for t in _tensors(args)):
            return func(*args, **kwargs)  # constants have values, which a form does not tell
        call = func, *map(_form, args)
        if call not in self._results:
            self._results[call] = func(*args)
        known = self._results[call]  # others than it, as results may be written to
        return _alike(known) if isinstance(known, Tensor) else tuple(map(_alike, known))

    def _node(
        self,
        kind: str,
        func: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        out: Any,
        given: list[Tensor],
        origins: list[_Origin],
        weights: frozenset[int],
    ) -> Node:
        sources = [(t, o) for t, o in zip(given, origins, strict=True) if o.node is not None]
        new = weights - self._counted
        self._counted |= new
        flops = flops_of(func, args, kwargs, out) + sum(self._work.get(w, 0) for w in new)
        result = _tensors(out)[0]
        op = ATEN.get(kind, "other")
        if op == "matmul" and weights:
            op = "linear"
        if op == "mul" and any(isinstance(arg, int | float) and arg == 0 for arg in args):
            op = "zero"  # whatever comes in: a branch that is switched off
        inputs = tuple(dict.fromkeys(o.node for _, o in sources if o.node is not None))
        node = _described(op, inputs, [t for t, _ in sources], result, flops, sources[0][1].channels)
        params = sum(self._sizes.get(w, 0) for w in new)
        if kind == "deform_conv2d":
            return _deformable(node, args, id(args[4]) in self._sizes, params)
        return _with_settings(node, kind, args, params)

    def _origin(self, tensor: Tensor) -> _Origin:
        own = self._origins.get(id(tensor), _Origin(None, frozenset(), 0, 0))
        last = self._written.get(tensor.untyped_storage()._cdata) if tensor.is_meta else None
        return last if last is not None and last.time > own.time else own

    def _to_meta(self, tensor: Tensor) -> Tensor:
        """A constant that was made on a real device, once for all."""
        if tensor.is_meta:
            return tensor
        if id(tensor) not in self._on_meta:
            self._kept.append(tensor)
            self._on_meta[id(tensor)] = torch.empty_like(tensor, device="meta")
        return self._on_meta[id(tensor)]


@cache
def _is_repeated(func: Any) -> bool:
    return not func._schema.is_mutable and func._schema.name.split("::")[-1] in _REPEATED


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _alike(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _form(value: Any) -> Any:
    """Of an argument, all that the form of the result depends on."""
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype
    return tuple(map(_form, value)) if isinstance(value, list | tuple) else (type(value), value)


def _described(
    op: str, inputs: tuple[int, ...], sources: Sequence[Tensor], out: Tensor, flops: int, channels: int
) -> Node:
    """A node with its sizes. channels: of the first source, 0 where unknown."""
    first = sources[0]
    channels_in = channels if channels and first.numel() % channels == 0 else _channels(first)
    kept = op not in _OWN_CHANNELS and channels_in in out.shape[1:]
    channels_out = channels_in if kept else _channels(out)
    return Node(
        op=op,
        inputs=inputs,
        channels_in=channels_in,
        channels_out=channels_out,
        positions_in=first.numel() // max(1, channels_in),
        positions_out=out.numel() // max(1, channels_out),
        flops=flops,
    )


_OWN_CHANNELS = frozenset(("conv", "linear"))


def _channels(tensor: Tensor) -> int:
    """Second axis of an image, last axis of tokens."""
    if tensor.dim() == 0:
        return 1
    return int(tensor.shape[1] if tensor.dim() >= 4 else tensor.shape[-1])


def _with_settings(node: Node, kind: str, args: Sequence[Any], params: int) -> Node:
    """The node with what its operation was called with."""
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
        spread = round(sqrt(node.positions_in / max(1, node.positions_out)))
        return replace(node, kernel=(spread, spread), stride=(spread, spread), params=params)
    if node.op in ("max_pool", "avg_pool"):
        kernel = _pair(args[1])
        stride = _pair(args[2]) if len(args) > 2 and args[2] else kernel
        return replace(node, kernel=kernel, stride=stride, params=params)
    return replace(node, bias=node.op == "linear" and kind == "addmm", params=params)


def _deformable(node: Node, args: Sequence[Any], bias: bool, params: int) -> Node:
    """A convolution, with an edge from where its places are found. torchvision gives it a bias in any case."""
    stride, dilation, groups = (int(args[5]), int(args[6])), (int(args[9]), int(args[10])), int(args[11])
    kernel = _pair(args[1].shape[2:])
    return replace(node, kernel=kernel, stride=stride, dilation=dilation, groups=groups, bias=bias, params=params)


def _pair(sizes: int | Sequence[int]) -> tuple[int, int]:
    """Height and width; a missing width is as the height."""
    listed = [sizes] if isinstance(sizes, int) else [int(size) for size in sizes]
    return (listed[-2], listed[-1]) if len(listed) > 1 else (listed[0], listed[0])
