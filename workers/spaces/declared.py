"""Search spaces that users declare in a YAML file, with networks that their own function builds."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from predictor.cost import Cost
from predictor.errors import AIOPError
from workers.errors import GenotypeError, SpaceError
from workers.messages.architecture import Architecture
from workers.spaces.base import Backbone, Space
from workers.spaces.build_function import BuildFunction, code_hash, import_function, one_line, shipped_location
from workers.spaces.declaration import Declaration
from workers.spaces.parameters import Parameters

COARSEST_STRIDE = 32  # image sizes are multiples of it
_MEASURED_IMAGE = 64, 96  # height and width


class DeclaredBackbone(Backbone):
    """The network of a user's function. channels and strides are measured, or those that the network names."""

    def __init__(self, network: nn.Module, channels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.channels, self.strides = tuple(channels), tuple(strides)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute one feature map per level, finest first."""
        return list(self.network(images))


class DeclaredSpace(Space):
    """The space of a declaration. A genotype maps the active parameters to their values.

    The user's module is imported when the first network is built, or by `load`. Instances can be sent to other
    processes.
    """

    def __init__(self, declaration: Declaration) -> None:
        self.name, self.declaration = declaration.name, declaration
        self._parameters = Parameters(declaration.parameters)

    def __reduce__(self) -> Any:
        return DeclaredSpace, (self.declaration,)

    @property
    def size(self) -> int:
        """The number of genotypes."""
        return self._parameters.size

    @property
    def cache_name(self) -> str:
        """The name, the declaration and the code of the function."""
        self.load()
        code = code_hash(self.declaration, whole=shipped_location(self.declaration) is not None)
        return f"{self.name}/{self.declaration.hash}/{code}"

    def load(self) -> BuildFunction:
        """Return the user's function. Raises SpaceError if it cannot be imported or takes other arguments."""
        return self._function

    def architecture(self, genotype: dict[str, Any]) -> Architecture:
        """Return the architecture of a genotype; its id depends on the declaration."""
        return Architecture.of(self.name, genotype, self.declaration.hash)

    def random_genotype(self, rng: random.Random) -> dict[str, Any]:
        """Return a genotype. All genotypes of the space have the same probability.

        So a value that more conditional parameters depend on is drawn more often than its alternatives.
        """
        return self._parameters.values(self._parameters.draw(rng))

    def mutate_genotype(self, genotype: dict[str, Any], rng: random.Random) -> dict[str, Any]:
        """Change one parameter; parameters whose conditions begin or cease to hold are added or removed."""
        return self._parameters.values(self._parameters.mutate(self._parameters.indices(genotype), rng))

    def check(self, genotype: dict[str, Any]) -> None:
        """Raise GenotypeError unless exactly the active parameters have a value, which is one of their choices."""
        try:
            self._parameters.indices(genotype)
        except ValueError as error:
            raise GenotypeError(f"{self.name} genotype {genotype}: {error}") from None

    def encode(self, architecture: Architecture) -> Sequence[int]:
        """Return an index of a choice for every parameter, in the order of the declaration; -1 if it is inactive."""
        return self._parameters.indices(self._checked_genotype(architecture))

    def decode(self, code: Sequence[int]) -> Architecture:
        """Inverse of `encode`."""
        try:
            return self.architecture(self._parameters.values(code))
        except ValueError as error:
            raise GenotypeError(f"{self.name} code {list(code)}: {error}") from None

    def build_backbone(self, genotype: dict[str, Any], settings: Mapping[str, Any]) -> Backbone:
        """Call the user's function. This space has no settings.

        Parameters that no layer initialises again at the start of training depend on the genotype alone.
        Raises SpaceError if the function fails, or if it returns no module with a suitable pyramid.
        """
        where = f"space {self.name}: {self.declaration.build}({_as_arguments(genotype)})"
        function = self.load()
        try:
            network = _construct(function, genotype)
        except Exception as error:  # a user's code may raise anything
            raise SpaceError(f"{where} fails ({one_line(error)}): fix it, or remove these choices") from error
        if not isinstance(network, nn.Module):
            raise SpaceError(f"{where} returns {type(network).__name__}: return a torch.nn.Module")
        return DeclaredBackbone(network, *_measure_pyramid(network, where))

    def cost(
        self, architecture: Architecture, image: tuple[int, int], settings: Mapping[str, Any] | None = None
    ) -> Cost:
        """Return FLOPs and parameters. See `Space.cost`. Raises SpaceError if FLOPs cannot be counted."""
        try:
            return super().cost(architecture, image, settings)
        except AIOPError:
            raise
        except Exception as error:  # a user's code may raise anything
            text = f"space {self.name}: FLOPs of {architecture.genotype} cannot be counted ({one_line(error)})"
            raise SpaceError(f"{text}: run `orchestrator space check`") from error

    @cached_property
    def _function(self) -> BuildFunction:
        return import_function(self.declaration)


def _as_arguments(genotype: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in genotype.items())


def _construct(function: BuildFunction, genotype: dict[str, Any]) -> Any:
    """Call the function with a fixed seed. On the meta device, fall back to the CPU if it reads values of tensors."""
    seed = random.Random(json.dumps(genotype, sort_keys=True)).getrandbits(32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if torch.get_default_device().type != "meta":
            return function(**copy.deepcopy(genotype))
        try:
            return function(**genotype)
        except Exception:  # reported by the second call, unless the meta device was the reason
            with torch.device("cpu"):
                network = function(**genotype)
            return network.to("meta") if isinstance(network, nn.Module) else network


def _measure_pyramid(network: nn.Module, where: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return channels and strides of the levels, finest first. Raises SpaceError for an unsuitable pyramid."""
    maps = _run_once(network, where)
    if not isinstance(maps, list | tuple) or not maps or not all(isinstance(m, Tensor) and m.dim() == 4 for m in maps):
        raise SpaceError(
            f"{where} gives a network that returns {_kind(maps)}: return a list of feature maps (N, C, H, W)"
        )
    height, width = _MEASURED_IMAGE
    shapes = [tuple(m.shape) for m in maps]
    channels, strides = tuple(shape[1] for shape in shapes), tuple(height // max(1, shape[2]) for shape in shapes)
    for shape, stride in zip(shapes, strides, strict=True):
        if shape[0] != 1 or stride & (stride - 1) or (height / shape[2], width / shape[3]) != (stride, stride):
            raise SpaceError(
                f"{where} gives a map of shape {shape} for an image of {height}x{width}: each map must have that size "
                f"divided by 1, 2, 4, 8, 16 or {COARSEST_STRIDE}"
            )
    if list(strides) != sorted(set(strides)) or strides[-1] > COARSEST_STRIDE:
        raise SpaceError(
            f"{where} gives levels with strides {list(strides)}: return one level per stride, finest first, at most "
            f"{COARSEST_STRIDE}"
        )
    for name, measured in (("channels", channels), ("strides", strides)):
        named = getattr(network, name, None)
        if isinstance(named, list | tuple) and tuple(named) != measured:
            raise SpaceError(f"{where} names {name} {list(named)}, but its maps have {list(measured)}: correct them")
    return channels, strides


def _run_once(network: nn.Module, where: str) -> Any:
    """Return the network's output for one small image: on the meta device, or if that fails with values."""
    parameters, training = list(network.parameters()), network.training
    on_meta = bool(parameters) and all(p.is_meta for p in parameters)
    try:
        with torch.no_grad():
            try:
                copied = network if on_meta else copy.deepcopy(network).to("meta")
                return copied.eval()(torch.empty(1, 3, *_MEASURED_IMAGE, device="meta"))
            except Exception:
                if on_meta:
                    raise
                return network.eval()(torch.zeros(1, 3, *_MEASURED_IMAGE))
    except Exception as error:  # a user's code may raise anything
        if on_meta:  # asked for without values, for its FLOPs
            raise SpaceError(
                f"{where} gives a network that cannot run on the meta device ({one_line(error)}): let it use shapes, "
                "not values of tensors"
            ) from error
        size = "x".join(map(str, _MEASURED_IMAGE))
        raise SpaceError(
            f"{where} gives a network that fails on an image of {size} ({one_line(error)}): fix it"
        ) from error
    finally:
        network.train(training)


def _kind(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "an empty list" if not value else f"a list with {_kind(value[0])}"
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
