"""The interface of search spaces, and the registry that finds a space by its name."""

from __future__ import annotations

import itertools
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from predictor.cost import Cost, measure_cost
from predictor.entry_points import SPACES, load_entry_points, require_free_name
from predictor.text_files import parse_json
from workers.errors import GenotypeError, RecipeError, UnknownNameError
from workers.messages.architecture import Architecture
from workers.spaces.kept_flops import KeptFlops

# Architectures per block of `Space.stratified`; a power of two, so that the bit-reversed order is spread evenly.
_STRATIFIED_BLOCK = 64
# Successive draws without a new architecture after which a space is exhausted; enough to find all of 15,625.
_MAX_REPEATS = 200_000


class Backbone(nn.Module):
    """A backbone that computes a feature pyramid.

    channels, strides: one entry per level, finest first. keeps_weights: the weights are pretrained, so training must
    not initialise them again. pixel_mean, pixel_std: of red, green and blue, 0 to 255, that they were trained with.
    stale_statistics: the statistics of batch norms do not fit the weights, so training must calibrate them first.
    """

    keeps_weights: bool = False
    pixel_mean: tuple[float, float, float] | None = None
    pixel_std: tuple[float, float, float] | None = None
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    stale_statistics: bool = False

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map (N, 3, H, W) images to the pyramid: (N, channels[i], H / strides[i], W / strides[i]), finest first."""
        raise NotImplementedError


class Space(ABC):
    """A search space.

    A genotype is the description of an architecture in plain Python values. `Architecture` stores it as canonical JSON.
    default_backbone: all settings of a backbone, with their defaults. A recipe changes them in its section `body`.
    published_backbone: the settings with which the published labels of the space were measured.
    """

    name: str
    default_backbone: Mapping[str, Any] = {}
    published_backbone: Mapping[str, Any] = {}

    @property
    def size(self) -> int | None:
        """The number of genotypes that are sampled; None if it is not known."""
        return None

    @property
    def cache_name(self) -> str:
        """Everything but the code of this project that the networks of a genotype depend on."""
        return self.name

    def architecture(self, genotype: dict[str, Any]) -> Architecture:
        """Return the architecture of a genotype."""
        return Architecture.of(self.name, genotype)

    @abstractmethod
    def random_genotype(self, rng: random.Random) -> dict[str, Any]:
        """Return a random genotype, uniform over the space."""

    @abstractmethod
    def mutate_genotype(self, genotype: dict[str, Any], rng: random.Random) -> dict[str, Any]:
        """Return a copy of the genotype that differs in one choice."""

    @abstractmethod
    def check(self, genotype: dict[str, Any]) -> None:
        """Raise GenotypeError unless the genotype belongs to the space."""

    @abstractmethod
    def encode(self, architecture: Architecture) -> Sequence[int]:
        """Return the choices as indices. All codes of a space have the same length."""

    @abstractmethod
    def decode(self, code: Sequence[int]) -> Architecture:
        """Return the architecture with these choices. Raises GenotypeError for a code outside the space."""

    @abstractmethod
    def build_backbone(self, genotype: dict[str, Any], settings: Mapping[str, Any]) -> Backbone:
        """Build the module. `settings` has every key of `default_backbone`."""

    def covering_architectures(self) -> list[Architecture]:
        """Return architectures that together have every weight of the space in its largest shape.

        Weights with the same `shared_name` are the same. Empty for a space that does not support shared weights.
        """
        return []

    def smallest_architecture(self) -> Architecture | None:
        """Return the architecture whose weights are part of those of every other; None if there is none."""
        return None

    def shared_name(self, name: str, architecture: Architecture) -> str:
        """Return the name that the weight `name` of this architecture's network has in the shared weights."""
        return name

    def parse(self, text: str) -> Architecture:
        """Return the architecture that a string describes as the space's publishers write it; JSON unless overridden.

        Raises GenotypeError.
        """
        return self.parse_json(text)

    def parse_json(self, text: str) -> Architecture:
        """Return the architecture with a genotype in JSON. Raises GenotypeError."""
        try:
            genotype = parse_json(text)
        except ValueError as error:
            raise GenotypeError(f"{self.name} string '{text}': is not JSON ({error})") from None
        if not isinstance(genotype, dict):
            raise GenotypeError(f"{self.name} string '{text}': must be an object")
        self.check(genotype)
        return self.architecture(genotype)

    def sample(self, rng: random.Random) -> Architecture:
        """Return a random architecture, uniform over genotypes."""
        return self.architecture(self.random_genotype(rng))

    def mutate(self, architecture: Architecture, rng: random.Random) -> Architecture:
        """Return a neighbour, which differs in one choice."""
        return self.architecture(self.mutate_genotype(self._checked_genotype(architecture), rng))

    def cross(self, first: Architecture, second: Architecture, rng: random.Random) -> Architecture:
        """Return an architecture with each choice of one of two (uniform crossover); the first if that is not one."""
        pairs = zip(self.encode(first), self.encode(second), strict=True)
        try:
            return self.decode([rng.choice(pair) for pair in pairs])
        except GenotypeError:  # choices that depend on each other
            return first

    def function(self, architecture: Architecture) -> str:
        """Return a text that is equal for architectures that compute the same with equal weights.

        Empty if the space does not know: then graphs are compared.
        """
        return ""

    def build(self, architecture: Architecture, settings: Mapping[str, Any] | None = None) -> Backbone:
        """Build the backbone of an architecture. settings: a recipe's section `body`, which overrides the defaults.

        Raises:
            GenotypeError: the genotype is not of this space.
            RecipeError: a setting is unknown or invalid.
        """
        checked = self._checked_settings(settings)
        return self.build_backbone(self._checked_genotype(architecture), checked)

    def skeleton(self, architecture: Architecture, settings: Mapping[str, Any] | None = None) -> Backbone:
        """Return the backbone on the meta device, without reading pretrained weights. See `build`."""
        with torch.device("meta"):
            return self.build(architecture, _without_weights(settings))

    def cost(
        self, architecture: Architecture, image: tuple[int, int], settings: Mapping[str, Any] | None = None
    ) -> Cost:
        """Return FLOPs and parameters of the backbone without a head, without reading pretrained weights.

        image: height and width.
        """
        return measure_cost(self.skeleton(architecture, settings), (3, *image))

    def sequence(self, seed: int) -> Iterator[Architecture]:
        """Yield distinct random architectures, uniform over the space, until it is exhausted.

        The sequence depends on the space and the seed only: a longer prefix begins with every shorter one.
        """
        rng, seen, repeats, size = random.Random(f"{self.name}/{seed}"), set[str](), 0, self.size
        while len(seen) != size and (size is not None or repeats < _MAX_REPEATS):
            architecture = self.sample(rng)
            if architecture.id in seen:
                repeats += 1
                continue
            seen.add(architecture.id)
            repeats = 0
            yield architecture

    def stratified(
        self, seed: int, image: tuple[int, int], settings: Mapping[str, Any] | None = None
    ) -> Iterator[Architecture]:
        """Yield the architectures of `sequence` in an order whose prefixes are spread evenly over FLOPs.

        Each block of 64 is sorted by FLOPs and yielded in bit-reversed order, so that any first 2^k architectures of a
        block cover the quantiles of its FLOPs evenly. A longer prefix begins with every shorter one. image: height and
        width at which FLOPs are counted. settings: see `build`.
        """
        draws, parallel = self.sequence(seed), False
        settings = _without_weights(settings)
        kept = KeptFlops(self.cache_name, image, settings, partial(_count_flops, self, image, settings))
        while block := self._next_block(draws):
            flops = dict(zip(block, kept.of(block, parallel=parallel), strict=True))
            parallel = True  # most campaigns need one block only
            block.sort(key=lambda a: (flops[a], a.id))
            yield from (block[i] for i in _bit_reversed(_STRATIFIED_BLOCK) if i < len(block))

    def _next_block(self, draws: Iterator[Architecture]) -> list[Architecture]:
        """Return the next architectures of a sequence; fewer than a block, or none, at its end."""
        block = list(itertools.islice(draws, _STRATIFIED_BLOCK))
        if self.size is None:
            next(draws, None)  # spaces of unknown size have always left one out, and their campaigns may go on
        return block

    def _checked_settings(self, settings: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return all settings of a backbone. Raises RecipeError for an unknown one."""
        unknown = set(settings or {}) - set(self.default_backbone)
        if unknown:
            known = ", ".join(self.default_backbone)
            raise RecipeError(f"body setting '{min(unknown)}' is unknown to space {self.name}: choose from {known}")
        return {**self.default_backbone, **(settings or {})}

    def _checked_genotype(self, architecture: Architecture) -> dict[str, Any]:
        """Return the genotype of an architecture. Raises GenotypeError unless it is of this space."""
        if architecture.space != self.name:
            raise GenotypeError(f"architecture {architecture.id} is of space {architecture.space}, not {self.name}")
        genotype = architecture.values
        self.check(genotype)
        if architecture.declaration != self.architecture(genotype).declaration:
            raise GenotypeError(
                f"architecture {architecture.id} is of another declaration of space {self.name}: use the file that it "
                "was sampled from"
            )
        return genotype


def _without_weights(settings: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the settings of a backbone that decide its FLOPs and parameters; None if there are none."""
    return {name: value for name, value in (settings or {}).items() if name != "pretrained"} or None


def _count_flops(
    space: Space, image: tuple[int, int], settings: Mapping[str, Any] | None, architecture: Architecture
) -> float:
    return float(space.cost(architecture, image, settings).flops)


def _bit_reversed(size: int) -> list[int]:
    """Return 0 to size - 1, a power of two, in the order of their reversed bits."""
    bits = size.bit_length() - 1
    return [int(f"{i:0{bits}b}"[::-1], 2) for i in range(size)]


_REGISTRY: dict[str, Space] = {}


def register(space: type[Space]) -> type[Space]:
    """Class decorator: register the space under its `name`. Raises NameTakenError."""
    register_space(space())
    return space


def register_space(space: Space, *, replace: bool = False) -> None:
    """Register a space under its `name`. Raises NameTakenError, unless it may replace the one with that name."""
    if not replace:
        require_free_name("space", space.name, space, _REGISTRY)
    _REGISTRY[space.name] = space


def get_space(name: str) -> Space:
    """Return the space of this name. Raises UnknownNameError, which lists all names."""
    load_entry_points(SPACES)
    if name not in _REGISTRY:
        raise UnknownNameError("space", name, _REGISTRY)
    return _REGISTRY[name]


def space_names() -> list[str]:
    """Return the names of all registered spaces, sorted."""
    load_entry_points(SPACES)
    return sorted(_REGISTRY)
