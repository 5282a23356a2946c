"""Networks by the names that users and published results give them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from orchestrator.errors import ConfigError
from predictor.errors import AIOPError
from predictor.graph.from_onnx import read_onnx, structure_hash
from workers.messages.architecture import Architecture
from workers.spaces import Space, get_space, open_space
from workers.spaces.opening import is_space_file

_CLASSES = 1000  # outputs of the classifier on a backbone, as on ImageNet


@dataclass(frozen=True, slots=True)
class NamedNetwork:
    """An architecture, and how to build its network, on the meta device where possible.

    name: what `open_network` accepts in any process of this machine.
    """

    name: str
    architecture: Architecture
    build: Callable[[], nn.Module]


def open_network(name: str) -> NamedNetwork:
    """Return the network with this name.

    Names are KIND:NAME with a kind of `OPENERS`, package.module:function, FILE.onnx, and FILE.yaml:GENOTYPE for a space
    that the file declares.

    Raises ConfigError for a name of another form, and AIOPError subclasses if there is no such network. Building it may
    raise AIOPError too.
    """
    kind, _, local_name = name.partition(":")
    if is_space_file(kind):
        return _from_declared(Path(kind).absolute(), local_name)
    if kind not in OPENERS or not local_name:
        if name.endswith(".onnx"):
            return _from_onnx(Path(name).absolute())
        if "." in kind and local_name.isidentifier():
            return _from_function(kind, local_name)
        raise ConfigError(
            f"model '{name}': write {', '.join(f'{k}:...' for k in OPENERS)}, FILE.onnx, FILE.yaml:GENOTYPE or "
            "package.module:function"
        )
    return OPENERS[kind](kind, local_name)


class Classifier(nn.Module):
    """A backbone and a linear layer on the spatial mean of its coarsest level."""

    def __init__(self, body: nn.Module, channels: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(channels, _CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to scores (N, classes)."""
        coarsest: Tensor = self.body(images)[-1]
        scores: Tensor = self.head(coarsest.mean((2, 3)))
        return scores


def _from_space(kind: str, genotype: str) -> NamedNetwork:
    """A backbone of a search space with a classifier, from its published string or the JSON of its genotype."""
    space: Space = get_space(kind)
    parse = space.parse_json if genotype.startswith("{") else space.parse
    return _classifier(kind, genotype, space, parse(genotype))


def _from_declared(path: Path, genotype: str) -> NamedNetwork:
    """A backbone of the space that a YAML file declares with a classifier, from the JSON of its genotype."""
    space = open_space(str(path))
    return _classifier(str(path), genotype, space, space.parse(genotype))


def _classifier(kind: str, genotype: str, space: Space, architecture: Architecture) -> NamedNetwork:
    def build() -> nn.Module:
        with torch.device("meta"):
            backbone = space.build(architecture, space.published_backbone)
            return Classifier(backbone, backbone.channels[-1])

    return NamedNetwork(f"{kind}:{genotype}", architecture, build)


def _from_timm(kind: str, model: str) -> NamedNetwork:
    """A network of timm with its classifier. A tag of pretrained weights after a dot does not change the network."""

    def build() -> nn.Module:
        import timm

        if not timm.is_model(model.split(".")[0]):
            raise ConfigError(f"model 'timm:{model}': timm has no model of that name: see timm.list_models()")
        with torch.device("meta"):
            network: nn.Module = timm.create_model(model, pretrained=False)
        return network

    return NamedNetwork(f"{kind}:{model}", Architecture.of(kind, {"name": model}), build)


def _from_mmdet(kind: str, config: str) -> NamedNetwork:
    """A detector of mmdet, by the path of a configuration that mmdet includes."""

    def build() -> nn.Module:
        from workers.detectors.reference_detectors import build_reference_detector  # loads mmdet, which takes seconds

        return build_reference_detector(config)

    return NamedNetwork(f"{kind}:{config}", Architecture.of(kind, {"config": config}), build)


def _from_function(module: str, function: str) -> NamedNetwork:
    """The network that a user's function returns. The module is imported, so its code runs."""
    name = f"{module}:{function}"

    def build() -> nn.Module:
        try:
            network = getattr(importlib.import_module(module), function)()
        except AIOPError:
            raise
        except Exception as error:  # a user's code may raise anything
            text = " ".join(str(error).split())[:200]
            raise ConfigError(f"model '{name}': {type(error).__name__}: {text}") from error
        if not isinstance(network, nn.Module):
            raise ConfigError(f"model '{name}': returns {type(network).__name__}: it must return a torch.nn.Module")
        return network

    return NamedNetwork(name, Architecture.of("function", {"name": name}), build)


def _from_onnx(path: Path) -> NamedNetwork:
    """The network in an ONNX file. The architecture depends on the graph in it, not on its path or weights."""
    return NamedNetwork(str(path), Architecture.of("onnx", {"content": structure_hash(path)}), lambda: read_onnx(path))


_SPACES = ("nasbench201", "mnasnet", "transnas-macro", "mobilenetv3", "proxylessnas", "resnet50")

# By kind: what takes the kind and the name after the colon.
OPENERS: Mapping[str, Callable[[str, str], NamedNetwork]] = {
    "timm": _from_timm,
    "mmdet": _from_mmdet,
    **dict.fromkeys(_SPACES, _from_space),
}
