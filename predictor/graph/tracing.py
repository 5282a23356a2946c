"""Trace a module to its graph: one forward pass on the meta device, where tensors have sizes but no values."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves

from predictor.errors import AIOPError
from predictor.graph.constant_values import TensorsWithValues
from predictor.graph.recorder import Recorder
from predictor.graph.structure import Graph, Node


class TraceError(AIOPError):
    """A module that cannot be traced."""


def trace(module: nn.Module, input_size: tuple[int, int, int] = (3, 224, 224)) -> Graph:
    """Return the graph of `module` in evaluation mode on one image of `input_size` = (channels, height, width).

    Weights are neither read nor changed. Names and classes of modules do not matter. Operations that only move or
    convert values are not nodes, and nodes that no output depends on are removed.

    Raises TraceError if the module cannot run on such an image, or if it reads the values of tensors.
    """
    if len(input_size) != 3 or any(side < 1 for side in input_size):
        raise TraceError(f"input size {input_size}: must be channels, height and width, each at least 1")
    nodes, uncounted = _traced_nodes(module, input_size)
    if nodes[-1].op != "output":  # a network that zeros cut in two, such as a cell without a path, is still a network
        nodes, uncounted = _traced_nodes(module, input_size, zeros_are_nodes=True)
    if nodes[-1].op != "output":
        name = type(module).__name__
        raise TraceError(f"{name}: no output depends on the image: give a module that takes an image and uses it")
    used = _used(nodes)
    names = sorted({name for number, name in uncounted.items() if number in used})
    return Graph(_without_unused(nodes, used), input_size, uncounted=tuple(names))


def _traced_nodes(
    module: nn.Module, input_size: tuple[int, int, int], zeros_are_nodes: bool = False
) -> tuple[list[Node], dict[int, str]]:
    """Return the nodes of all operations, then a node for each output that depends on the image.

    The second result is `Recorder.uncounted`.
    """
    on_meta = all(tensor.is_meta for tensor in (*module.parameters(), *module.buffers()))
    weights, buffers = _meta_copies(module)
    image = torch.empty(1, *input_size, device="meta")
    recorder = Recorder(image, {id(w): w for w in weights.values()}.values(), zeros_are_nodes)
    with _evaluation_mode(module), torch.no_grad(), recorder, TensorsWithValues():
        try:
            output = module(image) if on_meta else functional_call(module, weights | buffers, (image,))
        except AIOPError:
            raise
        except Exception as error:  # a user's module may raise anything
            raise TraceError(_error_text(type(module).__name__, input_size, error)) from error
    nodes = list(recorder.nodes)
    for tensor in tree_leaves(_as_dict(output)):
        source = recorder.source_node(tensor) if isinstance(tensor, Tensor) else None
        if source is not None:
            last = nodes[source]
            channels, positions = last.channels_out, last.positions_out
            nodes.append(Node("output", (source,), channels, channels, positions, positions))
    return nodes, recorder.uncounted


def _meta_copies(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return meta tensors in place of parameters and buffers, by name. Shared ones stay shared, and meta ones stay."""
    copies: dict[int, Tensor] = {}

    def copy(tensor: Tensor) -> Tensor:
        if tensor.is_meta:
            return tensor
        if id(tensor) not in copies:
            copies[id(tensor)] = torch.empty_like(tensor, device="meta", requires_grad=False)
        return copies[id(tensor)]

    weights = {name: copy(p) for name, p in module.named_parameters(remove_duplicate=False)}
    return weights, {name: copy(b) for name, b in module.named_buffers(remove_duplicate=False)}


@contextmanager
def _evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Set evaluation mode and turn off fused attention, which would hide its operations; restore both at the end."""
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


def _as_dict(output: Any) -> Any:
    """Convert outputs that torch cannot flatten, such as the output classes of transformers, to dictionaries."""
    return dict(output) if hasattr(output, "keys") and not isinstance(output, dict) else output


def _used(nodes: list[Node]) -> set[int]:
    """Return the numbers of the image, the outputs, and the nodes that an output depends on."""
    used = {number for number, node in enumerate(nodes) if node.op in ("input", "output")}
    for number in range(len(nodes) - 1, -1, -1):
        if number in used:
            used.update(nodes[number].inputs)
    return used


def _without_unused(nodes: list[Node], used: set[int]) -> tuple[Node, ...]:
    """Return the used nodes, with new numbers."""
    new_number = {old: new for new, old in enumerate(sorted(used))}
    return tuple(replace(nodes[old], inputs=tuple(new_number[i] for i in nodes[old].inputs)) for old in sorted(used))


_MISSING = re.compile(r"missing \d+ required (?:positional|keyword-only) arguments?: (.*)")
_OUR_FOLDERS = (Path(__file__).parent, Path(torch.__file__).parent)
_READS_VALUES = ("meta tensor", "data-", "item()", "nonzero", "register_meta")


def _position(error: Exception) -> str:
    """Return where a module's own code was when an error occurred; empty if that is unknown."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(Path(frame.filename).is_relative_to(folder) for folder in _OUR_FOLDERS)
    ]
    return (
        f" (in {frames[-1].name}, {frames[-1].filename.rsplit('/', 1)[-1]} line {frames[-1].lineno})" if frames else ""
    )


def _error_text(name: str, size: tuple[int, int, int], error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    if isinstance(error, TypeError) and (missing := _MISSING.search(text)) is not None:
        return (
            f"{name}: takes more than an image, also {missing[1].replace(chr(39), '')}: give a module whose forward "
            "takes one image and makes the rest"
        )
    if any(part in text.lower() for part in _READS_VALUES):
        return (
            f"{name}: the computation depends on the values of tensors{_position(error)}: trace the part before that, "
            "for a detector its backbone, neck and dense head"
        )
    sides = "x".join(map(str, size))
    if isinstance(error, AttributeError | LookupError | NameError | TypeError) or "to unpack" in text:
        return (  # Python's own words say nothing to those who did not write the module
            f"{name}: cannot run on an image of {sides}{_position(error)}: give the size that it was made for, or a "
            "module whose forward takes one image and nothing else"
        )
    return f"{name}: cannot run on an image of {sides} ({text}): give the size that it was made for"
