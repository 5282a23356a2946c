"""From any module to its graph: one forward pass on the meta device, where tensors have sizes and no values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves

from predictor.errors import AIOPError
from predictor.graph.recorder import Recorder
from predictor.graph.structure import Graph, Node


class TraceError(AIOPError):
    """A module that gives no graph."""


def trace(module: nn.Module, input_size: tuple[int, int, int] = (3, 224, 224)) -> Graph:
    """The graph of `module` on one image of `input_size` = (channels, height, width), in evaluation mode.

    Weights are neither read nor changed; names and classes of modules do not matter. Operations that only move or
    retype values are no nodes, and what does not reach an output is left out.

    Raises TraceError where the module cannot run on such an image, or looks at the values of tensors.
    """
    if len(input_size) != 3 or any(side < 1 for side in input_size):
        raise TraceError(f"input size {input_size}: must be channels, height and width, each at least 1")
    weights, buffers = _shadows(module)
    image = torch.empty(1, *input_size, device="meta")
    recorder = Recorder(image, {id(w): w for w in weights.values()}.values())
    name = type(module).__name__
    with _evaluating(module), torch.no_grad(), recorder:
        try:
            out = functional_call(module, weights | buffers, (image,))
        except AIOPError:
            raise
        except Exception as error:  # the module is anybody's
            raise TraceError(_told(name, input_size, error)) from error
    outputs = [leaf for leaf in tree_leaves(_plain(out)) if isinstance(leaf, Tensor)]
    nodes = list(recorder.nodes)
    for tensor in outputs:
        source = recorder.origin(tensor)
        if source is not None:
            last = nodes[source]
            channels, positions = last.channels_out, last.positions_out
            nodes.append(Node("output", (source,), channels, channels, positions, positions))
    if nodes[-1].op != "output":
        raise TraceError(f"{name}: no output depends on the image: give a module that takes an image and uses it")
    return Graph(_reaching(nodes), input_size)


def _shadows(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Meta tensors in place of parameters and buffers, by name; what is shared stays shared."""
    known: dict[int, Tensor] = {}

    def shadow(tensor: Tensor) -> Tensor:
        if id(tensor) not in known:
            known[id(tensor)] = torch.empty_like(tensor, device="meta", requires_grad=False)
        return known[id(tensor)]

    weights = {name: shadow(p) for name, p in module.named_parameters(remove_duplicate=False)}
    return weights, {name: shadow(b) for name, b in module.named_buffers(remove_duplicate=False)}


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """In evaluation mode and without fused attention, whose pieces would be hidden; then as it was."""
    training = [m for m in module.modules() if m.training]
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    module.eval()
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for part in training:
            part.training = True


def _plain(out: Any) -> Any:
    """Outputs that torch cannot look into, such as the records of transformers, as dictionaries."""
    return dict(out) if hasattr(out, "keys") and not isinstance(out, dict) else out


def _reaching(nodes: list[Node]) -> tuple[Node, ...]:
    """Without the nodes that no output needs."""
    needed = {number for number, node in enumerate(nodes) if node.op in ("input", "output")}
    for number in range(len(nodes) - 1, -1, -1):
        if number in needed:
            needed.update(nodes[number].inputs)
    place = {old: new for new, old in enumerate(sorted(needed))}
    return tuple(replace(nodes[old], inputs=tuple(place[i] for i in nodes[old].inputs)) for old in sorted(needed))


def _told(name: str, size: tuple[int, int, int], error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    if "meta tensors" in text or "data-" in text.lower() or "item()" in text:
        return (
            f"{name}: what it computes depends on the values of tensors ({text}): trace the part before that, for a "
            "detector its backbone, neck and dense head"
        )
    return f"{name}: cannot run on an image of {'x'.join(map(str, size))} ({text}): give the size that it was made for"
