"""Networks by the names that users and published results give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from orchestrator.errors import ConfigError
from orchestrator.published.network_functions import FORM, FunctionCall
from predictor.graph.from_onnx import read_onnx, structure_hash
from workers.messages.architecture import Architecture
from workers.spaces import Space, get_space, open_space
from workers.spaces.opening import is_space_file, reject_taken_name

_CLASSES = 1000  # outputs of the classifier on a backbone, as on ImageNet


class BuildNetwork(Protocol):
    """Builds a network on the meta device where possible, or with real weights on another device."""

    def __call__(self, device: str = "meta") -> nn.Module: ...


@dataclass(frozen=True, slots=True)
class NamedNetwork:
    """An architecture, and how to build its network.

    name: what `open_network` accepts in any process of this machine.
    """

    name: str
    architecture: Architecture
    build: BuildNetwork


def open_network(name: str, space: str = "") -> NamedNetwork:
    """Return the network with this name.

    Names are KIND:NAME with a kind of `OPENERS`, package.module:function, module:function(JSON), FILE.onnx, and
    FILE.yaml:GENOTYPE for a space that the file declares. space: name of the user for the space of the network, which
    must be one of a function or file of the user; empty: "function" or "onnx".

    Raises ConfigError for a name of another form, and AIOPError subclasses if there is no such network. Building it may
    raise AIOPError too.
    """
    network = _opened(name)
    if space in ("", network.architecture.space):
        return network
    if network.architecture.space not in _WITHOUT_SPACE:
        raise ConfigError(
            f"space '{space}': model '{name}' is of the space {network.architecture.space}: leave the space out"
        )
    reject_taken_name(space, "space")
    return replace(network, architecture=replace(network.architecture, space=space))


def _opened(name: str) -> NamedNetwork:
    kind, _, local_name = name.partition(":")
    if kind in OPENERS and local_name:
        return OPENERS[kind](kind, local_name)
    if is_space_file(kind):
        return _from_declared(Path(kind).absolute(), local_name)
    call = FunctionCall.parse(name)
    if call and ("." in kind or "(" in name or call.has_module):  # else it is a kind that does not exist
        return NamedNetwork(call.text, Architecture.of("function", call.genotype), call.build)
    if name.endswith(".onnx"):
        return _from_onnx(Path(name).absolute())
    raise ConfigError(
        f"model '{name}': write {', '.join(f'{k}:...' for k in OPENERS)}, FILE.onnx, FILE.yaml:GENOTYPE or {FORM}"
    )


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
    def build(device: str = "meta") -> nn.Module:
        with torch.device(device):
            backbone = space.build(architecture, space.published_backbone)
            return Classifier(backbone, backbone.channels[-1])

    return NamedNetwork(f"{kind}:{genotype}", architecture, build)


def _from_timm(kind: str, model: str) -> NamedNetwork:
    """A network of timm with its classifier. A tag of pretrained weights after a dot does not change the network."""

    def build(device: str = "meta") -> nn.Module:
        import timm

        if not timm.is_model(model.split(".")[0]):
            raise ConfigError(f"model 'timm:{model}': timm has no model of that name: see timm.list_models()")
        with torch.device(device):
            network: nn.Module = timm.create_model(model, pretrained=False)
        return network

    return NamedNetwork(f"{kind}:{model}", Architecture.of(kind, {"name": model}), build)


def _from_config(kind: str, config: str) -> NamedNetwork:
    """A network of one of OpenMMLab's toolboxes, by the path of a configuration that the toolbox includes."""

    def build(device: str = "meta") -> nn.Module:
        return _CONFIG_BUILDERS[kind](config, device)

    return NamedNetwork(f"{kind}:{config}", Architecture.of(kind, {"config": config}), build)


def _detector(config: str, device: str) -> nn.Module:
    from workers.detectors.reference_detectors import build_reference_detector  # loads mmdet, which takes seconds

    return build_reference_detector(config, device)


def _segmentor(config: str, device: str) -> nn.Module:
    from workers.detectors.reference_segmentors import build_reference_segmentor

    return build_reference_segmentor(config, device)


def _pose_network(config: str, device: str) -> nn.Module:
    from workers.detectors.reference_pose_networks import build_reference_pose_network

    return build_reference_pose_network(config, device)


def _from_onnx(path: Path) -> NamedNetwork:
    """The network in an ONNX file. The architecture depends on the graph in it, not on its path or weights."""

    def build(device: str = "meta") -> nn.Module:
        if device != "meta":
            raise ConfigError(f"model '{path}': only the graph of a file is read: name the module it was exported from")
        return read_onnx(path)

    return NamedNetwork(str(path), Architecture.of("onnx", {"content": structure_hash(path)}), build)


_WITHOUT_SPACE = ("function", "onnx")
_CONFIG_BUILDERS = {"mmdet": _detector, "mmseg": _segmentor, "mmpose": _pose_network}
_SPACES = ("nasbench201", "mnasnet", "transnas-macro", "mobilenetv3", "proxylessnas", "resnet50")

# By kind: what takes the kind and the name after the colon.
OPENERS: Mapping[str, Callable[[str, str], NamedNetwork]] = {
    "timm": _from_timm,
    **dict.fromkeys(_CONFIG_BUILDERS, _from_config),
    **dict.fromkeys(_SPACES, _from_space),
}
