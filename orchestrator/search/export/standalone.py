"""Write a network as a Python file that needs torch only.

`torch.export` gives the operations of the network. Those that are a layer of torch become one, so that the file can be
read and trained; the others are written as calls.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram

from orchestrator.errors import ConfigError
from orchestrator.search.export.layers import Layer, layer_of
from predictor.errors import one_line

_HEADER = '''"""{title}

Needs torch only. Load the weights with
network.load_state_dict(safetensors.torch.load_file("weights.safetensors")).
"""

import torch
from torch import nn


class Network(nn.Module):
    """Takes (N, 3, {height}, {width}) float images: red, green and blue from 0 to 255. Returns a tuple of {count}."""

    def __init__(self):
        super().__init__()
'''
_INFIX = {"add.Tensor": "+", "sub.Tensor": "-", "mul.Tensor": "*", "div.Tensor": "/"}
_PLAIN_NAMES = "relu sigmoid tanh exp cat flatten squeeze unsqueeze permute reshape stack matmul"
_PLAIN = frozenset(_PLAIN_NAMES.split())  # written as torch.NAME


class PlainNetwork(nn.Module):
    """Backbone and head on float images, without the parts of a label that depend on the type of images."""

    def __init__(self, body: nn.Module, head: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        """mean, std: of the normalisation, one entry per channel."""
        super().__init__()
        self.body, self.head = body, head
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean)[None, :, None, None])
        self.register_buffer("std", torch.tensor(std)[None, :, None, None])

    def forward(self, images: Tensor) -> Any:
        """Return the head's raw outputs for (N, 3, H, W) float images."""
        return self.head(self.body((images - self.mean) / self.std))


def export_program(network: nn.Module, image: tuple[int, int]) -> ExportedProgram:
    """Return the operations of a network on images of this height and width, for batches of any size where it can.

    Raises ConfigError if its code depends on the values of tensors.
    """
    example = torch.zeros(2, 3, *image)
    try:
        return torch.export.export(network.eval(), (example,), dynamic_shapes=({0: Dim.AUTO},), strict=False)
    except Exception as error:  # a user's network may raise anything
        raise ConfigError(
            f"the network cannot be exported ({one_line(error)}): its code depends on values of tensors"
        ) from None


def standalone_source(program: ExportedProgram, image: tuple[int, int], title: str) -> tuple[str, dict[str, Tensor]]:
    """Return a Python file with a class `Network`, and the weights that it loads.

    image: height and width. title: the first line of the file. Raises ConfigError for an operation that is not torch's.
    """
    writer = _Writer(program)
    returned = writer.write()
    plain_title = title.replace('"', "'").replace("\\", "/")
    head = _HEADER.format(title=plain_title, height=image[0], width=image[1], count=_tensors(len(returned)))
    declared = "".join(f"        {line}\n" for line in writer.declared) or "        pass\n"
    body = "".join(f"        {line}\n" for line in writer.lines)
    outputs = ", ".join(returned) + ("," if len(returned) == 1 else "")
    source = f"{head}{declared}\n    def forward(self, images):\n{body}        return ({outputs})\n"
    return source, {name: value.detach().contiguous().clone() for name, value in writer.weights.items()}


def _tensors(count: int) -> str:
    return "one tensor" if count == 1 else f"{count} tensors"


@dataclass
class _Writer:
    """Writes the graph of a program. declared: lines of the constructor. lines: of `forward`."""

    program: ExportedProgram
    declared: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        signature = self.program.graph_signature
        self._tensors: dict[str, Tensor] = dict(self.program.state_dict) | {
            name: value for name, value in self.program.constants.items() if isinstance(value, Tensor)
        }
        self._named = dict(signature.inputs_to_parameters) | dict(signature.inputs_to_buffers)
        self._named |= dict(signature.inputs_to_lifted_tensor_constants)
        self._layers: dict[str, Layer] = {}
        self._places: dict[str, str] = {}  # expressions of stored tensors by path

    def write(self) -> list[str]:
        """Write all operations; return the expressions of the outputs."""
        graph, values = self.program.graph, dict[fx.Node, str]()
        images = iter(self.program.graph_signature.user_inputs)
        first = next(images)
        for node in graph.nodes:
            if node.op == "placeholder":
                values[node] = "images" if node.name == first else f"@{self._named[node.name]}"
        return self._write_graph(graph, values)

    def _write_graph(self, graph: fx.Graph, values: dict[fx.Node, str]) -> list[str]:
        for node in graph.nodes:
            if node.op == "call_function":
                self._call(node, values)
            elif node.op == "output":
                outputs = node.args[0]
                return [
                    self._text(value, values) for value in (outputs if isinstance(outputs, tuple | list) else [outputs])
                ]
        raise ConfigError("the network cannot be exported: it has no output")

    def _call(self, node: fx.Node, values: dict[fx.Node, str]) -> None:
        target: Any = node.target
        if getattr(target, "__name__", "") in ("wrap_with_autocast", "wrap_with_set_grad_enabled"):
            self._inline(node, values)
            return
        if target is operator.getitem and isinstance(values.get(node.args[0]), tuple):  # type: ignore[arg-type]
            values[node] = values[node.args[0]][node.args[1]]  # type: ignore[index]
            return
        if not node.users and not _writes(target):
            return
        layer = layer_of(str(target), node.args, lambda arg: self._parameter(arg, values))
        text = self._layer_call(layer, node, values) if layer is not None else self._expression(node, values)
        self.lines.append(f"{node.name} = {text}")
        values[node] = node.name

    def _inline(self, node: fx.Node, values: dict[fx.Node, str]) -> None:
        """Write the operations of a part that is run under other settings of autocast, which the file does not set."""
        part = next(arg for arg in node.args if isinstance(arg, fx.Node) and arg.op == "get_attr")
        inner: Any = getattr(self.program.graph_module, str(part.target))
        given = node.args[node.args.index(part) + 1 :]
        places = [n for n in inner.graph.nodes if n.op == "placeholder"]
        known = {place: values[arg] for place, arg in zip(places, given, strict=True)}  # type: ignore[index]
        values[node] = tuple(self._write_graph(inner.graph, known))  # type: ignore[assignment]

    def _layer_call(self, layer: Layer, node: fx.Node, values: dict[fx.Node, str]) -> str:
        """Declare a layer, unless it was called before, and return its call."""
        name = _flat(layer.path)
        known = self._layers.get(name)
        if known is None:
            if not self._places.keys().isdisjoint(layer.weights.values()):
                return self._expression(node, values)  # another call has the same weights
            self._layers[name] = layer
            self._places |= {path: f"self.{name}.{part}" for part, path in layer.weights.items()}
            self.declared.append(f"self.{name} = {layer.constructor}")
            self.weights |= {f"{name}.{part}": self._tensors[path] for part, path in layer.weights.items()}
            self.weights |= {f"{name}.{part}": value for part, value in layer.counters.items()}
        elif known.constructor != layer.constructor:
            return self._expression(node, values)  # the same weights with other settings
        return f"self.{name}({self._text(node.args[0], values)})"

    def _expression(self, node: fx.Node, values: dict[fx.Node, str]) -> str:
        target, args = node.target, [self._text(arg, values) for arg in node.args]
        if target is operator.getitem:
            return f"{args[0]}[{args[1]}]"
        if isinstance(target, torch._ops.OpOverload):
            name = str(target).removeprefix("aten.")
            if target.namespace != "aten":
                raise ConfigError(
                    f"the network cannot be exported: {target} is not an operation of torch: use another head"
                )
            if name in _INFIX and len(args) == 2 and not node.kwargs:
                return f"{args[0]} {_INFIX[name]} {args[1]}"
            short = name.partition(".")[0]
            keywords = [f"{key}={self._text(value, values)}" for key, value in node.kwargs.items()]
            called = f"torch.{short}" if short in _PLAIN and not keywords else f"torch.ops.{target}"
            return f"{called}({', '.join([*args, *keywords])})"
        if getattr(target, "__module__", "") in ("_operator", "math"):
            return f"{_OPERATORS[target.__name__].format(*args)}"  # type: ignore[union-attr]
        raise ConfigError(f"the network cannot be exported: {target} is not an operation of torch")

    def _parameter(self, arg: Any, values: Mapping[fx.Node, str]) -> tuple[str, Tensor] | None:
        """Return path and value of an argument that is a stored tensor; None for any other."""
        text = values.get(arg) if isinstance(arg, fx.Node) else None
        return (text[1:], self._tensors[text[1:]]) if isinstance(text, str) and text.startswith("@") else None

    def _text(self, value: Any, values: Mapping[fx.Node, str]) -> str:
        """Return the expression of an argument. A stored tensor that no layer has becomes an attribute."""
        if isinstance(value, fx.Node):
            text = values[value]
            return self._attribute(text[1:]) if text.startswith("@") else text
        if isinstance(value, tuple | list):
            return f"[{', '.join(self._text(part, values) for part in value)}]"
        if isinstance(value, float) and value in (float("inf"), float("-inf")):
            return f'float("{value}")'
        return str(value) if isinstance(value, torch.dtype | torch.layout | torch.memory_format) else _literal(value)

    def _attribute(self, path: str) -> str:
        name, value = _flat(path), self._tensors[path]
        if path not in self._places:
            self._places[path] = f"self.{name}"
            empty = f"torch.empty({tuple(value.shape)}, dtype={value.dtype})"
            made = f"nn.Parameter({empty})" if isinstance(value, nn.Parameter) else empty
            kind = "parameter" if isinstance(value, nn.Parameter) else "buffer"
            self.declared.append(f'self.register_{kind}("{name}", {made})')
            self.weights[name] = value
        return self._places[path]


def _writes(target: Any) -> bool:
    return isinstance(target, torch._ops.OpOverload) and target._schema.is_mutable


_OPERATORS = {
    "add": "({} + {})", "sub": "({} - {})", "mul": "({} * {})", "floordiv": "({} // {})", "truediv": "({} / {})",
    "mod": "({} % {})", "neg": "(-{})", "eq": "({} == {})", "ge": "({} >= {})", "le": "({} <= {})",
    "gt": "({} > {})", "lt": "({} < {})", "pow": "({} ** {})",
}  # fmt: skip


def _literal(value: Any) -> str:
    """Return how a plain argument is written in Python."""
    if isinstance(value, torch.device):
        return f'torch.device("{value}")'
    return repr(value)


def _flat(path: str) -> str:
    """Return the name of an attribute for the path of a layer or weight."""
    return path.replace(".", "_").lstrip("_")
