"""What every search space offers, and the registry that finds a space by its name."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from predictor.cost import Cost, measure_cost
from predictor.entry_points import SPACES, load_entry_points, require_free_name
from workers.errors import GenotypeError, RecipeError, UnknownNameError
from workers.messages.architecture import Architecture

# Architectures compared by FLOPs at a time; a power of two, so that its bit-reversed order spreads evenly.
_BLOCK = 64


class Backbone(nn.Module):
    """A backbone that yields a feature pyramid.

    channels, strides: one entry a level, finest first. forward: (N, 3, H, W) to a list of (N, channels[i],
    H / strides[i], W / strides[i]).
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Feature maps, finest first."""
        raise NotImplementedError


class Space(ABC):
    """A search space. Genotypes are plain Python values; `Architecture` holds them as canonical JSON."""

    name: str
    default_backbone: Mapping[str, Any] = {}
    published_backbone: Mapping[str, Any] = {}  # settings that give the body that published labels are of

    @abstractmethod
    def random_genotype(self, rng: random.Random) -> dict[str, Any]:
        """A genotype drawn uniformly."""

    @abstractmethod
    def mutate_genotype(self, genotype: dict[str, Any], rng: random.Random) -> dict[str, Any]:
        """A copy that differs in one choice."""

    @abstractmethod
    def check(self, genotype: dict[str, Any]) -> None:
        """Raise GenotypeError unless the genotype belongs to the space."""

    @abstractmethod
    def encode(self, architecture: Architecture) -> Sequence[int]:
        """The choices as indices, of the same length for the whole space."""

    @abstractmethod
    def decode(self, code: Sequence[int]) -> Architecture:
        """The architecture with these choices. Raises GenotypeError for a code outside the space."""

    @abstractmethod
    def build_backbone(self, genotype: dict[str, Any], settings: Mapping[str, Any]) -> Backbone:
        """The module. `settings` holds every key of `default_backbone`."""

    def covering(self) -> list[Architecture]:
        """Architectures whose networks together have every weight of the space at its largest; none if not known.

        Weights are told apart by `shared_name`.
        """
        return []

    def smallest(self) -> Architecture | None:
        """The architecture whose weights are part of every other one's; None where there is no such."""
        return None

    def shared_name(self, name: str, architecture: Architecture) -> str:
        """What a weight called `name` in this architecture's network is called in weights shared by the space."""
        return name

    def sample(self, rng: random.Random) -> Architecture:
        """An architecture drawn uniformly over genotypes."""
        return Architecture.of(self.name, self.random_genotype(rng))

    def mutate(self, architecture: Architecture, rng: random.Random) -> Architecture:
        """A neighbour: one choice differs."""
        return Architecture.of(self.name, self.mutate_genotype(self._checked(architecture), rng))

    def build(self, architecture: Architecture, body: Mapping[str, Any] | None = None) -> Backbone:
        """The body of `architecture`; `body` overrides the space's defaults (a recipe's `body` section).

        Raises:
            GenotypeError: the genotype is not of this space.
            RecipeError: `body` has a setting that this space does not know.
        """
        unknown = set(body or {}) - set(self.default_backbone)
        if unknown:
            known = ", ".join(self.default_backbone)
            raise RecipeError(f"body setting '{min(unknown)}' is unknown to space {self.name}: choose from {known}")
        return self.build_backbone(self._checked(architecture), {**self.default_backbone, **(body or {})})

    def cost(self, architecture: Architecture, image: tuple[int, int], body: Mapping[str, Any] | None = None) -> Cost:
        """FLOPs and parameters of the body alone at an image of (height, width)."""
        with torch.device("meta"):
            module = self.build(architecture, body)
        return measure_cost(module, (3, *image))

    def sequence(self, seed: int) -> Iterator[Architecture]:
        """Distinct architectures without end, drawn uniformly; a prefix stays the same however many are taken."""
        rng, seen, misses = random.Random(f"{self.name}/{seed}"), set[str](), 0
        while misses < 200_000:  # a small space runs out; this many misses leave none of 15,625 behind
            architecture = self.sample(rng)
            if architecture.id in seen:
                misses += 1
                continue
            seen.add(architecture.id)
            misses = 0
            yield architecture

    def stratified(
        self, seed: int, image: tuple[int, int], body: Mapping[str, Any] | None = None
    ) -> Iterator[Architecture]:
        """Distinct architectures without end, spread over FLOPs; a prefix stays the same however many are taken.

        Blocks of uniform draws are sorted by FLOPs and visited in bit-reversed order, so every prefix of 2^k of
        them covers the quantiles of FLOPs evenly.
        """
        draws = self.sequence(seed)
        while block := [a for a, _ in zip(draws, range(_BLOCK), strict=False)]:
            block.sort(key=lambda a: (self.cost(a, image, body).flops, a.id))
            yield from (block[i] for i in _bit_reversed(_BLOCK) if i < len(block))

    def _checked(self, architecture: Architecture) -> dict[str, Any]:
        if architecture.space != self.name:
            raise GenotypeError(f"architecture {architecture.id} is of space {architecture.space}, not {self.name}")
        genotype = architecture.values
        self.check(genotype)
        return genotype


def _bit_reversed(size: int) -> list[int]:
    bits = size.bit_length() - 1
    return [int(f"{i:0{bits}b}"[::-1], 2) for i in range(size)]


_REGISTRY: dict[str, Space] = {}


def register(space: type[Space]) -> type[Space]:
    """Class decorator: register the space under its `name`. Raises NameTakenError."""
    require_free_name("space", space.name, space, _REGISTRY)
    _REGISTRY[space.name] = space()
    return space


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
