"""Networks by name, as users and published results name them."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from orchestrator.errors import ConfigError
from predictor.errors import AIOPError
from predictor.graph.from_onnx import identity, read_onnx
from workers.messages.architecture import Architecture
from workers.spaces import Space, get_space

_CLASSES = 1000  # of the classifier that a body gets, as on ImageNet


class _Parsed(Protocol):
    def parse(self, text: str) -> Architecture: ...


@dataclass(frozen=True, slots=True)
class NamedModel:
    """An architecture, and how to build the network that is meant by it, on the meta device where possible.

    name: as `open_model` takes it in any process of this machine.
    """

    name: str
    architecture: Architecture
    build: Callable[[], nn.Module]


def open_model(name: str) -> NamedModel:
    """The model called KIND:WHICH, for which see `KINDS`, or the one in FILE.onnx.

    Raises ConfigError for a name that says no kind, and AIOPError subclasses where there is no such model; building may
    raise AIOPError too.
    """
    kind, _, which = name.partition(":")
    if kind not in KINDS or not which:
        if name.endswith(".onnx"):
            return _onnx(Path(name).absolute())
        if "." in kind and which.isidentifier():
            return _function(kind, which)
        raise ConfigError(
            f"model '{name}': write {', '.join(f'{k}:...' for k in KINDS)}, FILE.onnx or package.module:function"
        )
    return KINDS[kind](kind, which)


class Classifier(nn.Module):
    """A body and a linear layer on the mean of its coarsest level."""

    def __init__(self, body: nn.Module, channels: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(channels, _CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, classes)."""
        coarsest: Tensor = self.body(images)[-1]
        scores: Tensor = self.head(coarsest.mean((2, 3)))
        return scores


def _of_space(kind: str, which: str) -> NamedModel:
    """A body of one of our spaces, from its published string or its genotype's JSON."""
    space: Space = get_space(kind)
    if hasattr(space, "parse"):
        architecture = cast(_Parsed, space).parse(which)
    else:
        try:
            architecture = Architecture.of(kind, json.loads(which))
        except ValueError as error:
            raise ConfigError(f"model '{kind}:{which}': no JSON of a genotype ({error})") from None

    def build() -> nn.Module:
        with torch.device("meta"):
            body = space.build(architecture, space.published_backbone)
            return Classifier(body, body.channels[-1])

    return NamedModel(f"{kind}:{which}", architecture, build)


def _timm(kind: str, which: str) -> NamedModel:
    """A whole network of timm, classifier included; a tag of pretrained weights after a dot says nothing here."""

    def build() -> nn.Module:
        import timm

        if not timm.is_model(which.split(".")[0]):
            raise ConfigError(f"model 'timm:{which}': timm has none of that name: see timm.list_models()")
        with torch.device("meta"):
            made: nn.Module = timm.create_model(which, pretrained=False)
        return made

    return NamedModel(f"{kind}:{which}", Architecture.of(kind, {"name": which}), build)


def _mmdet(kind: str, which: str) -> NamedModel:
    """A detector of mmdet by its shipped configuration."""

    def build() -> nn.Module:
        from workers.detectors.reference_detectors import build_reference_detector  # loads mmdet, which takes seconds

        return build_reference_detector(which)

    return NamedModel(f"{kind}:{which}", Architecture.of(kind, {"config": which}), build)


def _function(module: str, function: str) -> NamedModel:
    """What anybody's function returns. The module is imported, so its code runs."""

    name = f"{module}:{function}"

    def build() -> nn.Module:
        try:
            made = getattr(importlib.import_module(module), function)()
        except AIOPError:
            raise
        except Exception as error:  # the code is anybody's
            text = " ".join(str(error).split())[:200]
            raise ConfigError(f"model '{name}': {type(error).__name__}: {text}") from error
        if not isinstance(made, nn.Module):
            raise ConfigError(f"model '{name}': returns {type(made).__name__}: let it return a torch.nn.Module")
        return made

    return NamedModel(name, Architecture.of("function", {"name": name}), build)


def _onnx(path: Path) -> NamedModel:
    """What the file says is the architecture, wherever it lies and whatever its weights are."""
    return NamedModel(str(path), Architecture.of("onnx", {"content": identity(path)}), lambda: read_onnx(path))


KINDS: Mapping[str, Callable[[str, str], NamedModel]] = {
    "timm": _timm,
    "mmdet": _mmdet,
    **dict.fromkeys(("nasbench201", "mnasnet", "transnas-macro", "mobilenetv3", "proxylessnas", "resnet50"), _of_space),
}
