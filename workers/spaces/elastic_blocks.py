"""Spaces as in Once-for-All (Cai et al., ICLR 2020): a depth for every stage, and choices for every block.

A family declares the choices. Sampling, mutation, checks and the encoding are the same for all families.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from workers.errors import GenotypeError, RecipeError
from workers.messages.architecture import Architecture
from workers.spaces.base import Backbone, Space
from workers.spaces.staged_backbone import BackbonePlan

_MAX_WIDTH = 4


@dataclass(frozen=True, slots=True)
class Field:
    """A choice that does not depend on the depths: a single value, or a list of `length` values."""

    choices: tuple[float, ...]
    length: int | None = None

    def draw(self, rng: random.Random) -> Any:
        """Return a random value or list of values."""
        return self.from_list([rng.choice(self.choices) for _ in range(self.length or 1)])

    def to_list(self, value: Any) -> list[Any]:
        """Return the value, or values, as a list."""
        return [value] if self.length is None else list(value)

    def from_list(self, values: list[Any]) -> Any:
        """Inverse of `to_list`."""
        return values[0] if self.length is None else values


def width_multiplier(genotype: Mapping[str, Any], settings: Mapping[str, Any]) -> float:
    """Return the setting `width` if it is set, else the width of the genotype. Raises RecipeError."""
    width = settings["width"]
    if width is None:
        return float(genotype["width"])
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width <= _MAX_WIDTH:
        raise RecipeError(f"body width {width}: must be a number above 0, at most {_MAX_WIDTH}, or unset")
    return float(width)


class ElasticSpace(Space):
    """A space of stages with a variable number of blocks.

    depths: the choices of a stage's depth. base_depths: stage i has base_depths[i] blocks plus its depth.
    single_blocks: number of stages with one block, without a depth, that follow. block_fields: the choices of every
    block. network_fields: the choices for the network as a whole.
    """

    depths: tuple[int, ...]
    base_depths: tuple[int, ...]
    single_blocks: int = 0
    block_fields: Mapping[str, tuple[float, ...]]
    network_fields: Mapping[str, Field]

    def plan_backbone(self, genotype: dict[str, Any], settings: Mapping[str, Any]) -> BackbonePlan | None:
        """Return the parts of the backbone; None if `build_backbone` builds it as a whole. Arguments as there."""
        return None

    def plan(self, architecture: Architecture, settings: Mapping[str, Any] | None = None) -> BackbonePlan | None:
        """Return the parts of an architecture's backbone, if there is a plan. Arguments and errors as of `build`."""
        return self.plan_backbone(self._checked_genotype(architecture), self._checked_settings(settings))

    def build_backbone(self, genotype: dict[str, Any], settings: Mapping[str, Any]) -> Backbone:
        """Build the planned parts."""
        plan = self.plan_backbone(genotype, settings)
        if plan is None:
            raise NotImplementedError(f"{type(self).__name__} needs plan_backbone or build_backbone")
        return plan.build()

    def block_counts(self, depth: Sequence[int]) -> list[int]:
        """Return the number of blocks of every stage."""
        return [b + d for b, d in zip(self.base_depths, depth, strict=True)] + [1] * self.single_blocks

    def random_genotype(self, rng: random.Random) -> dict[str, Any]:
        """Return uniform depths, and uniform choices for the blocks that they give."""
        depth = [rng.choice(self.depths) for _ in self.base_depths]
        blocks = sum(self.block_counts(depth))
        genotype: dict[str, Any] = {"depth": depth}
        for name, choices in self.block_fields.items():
            genotype[name] = [rng.choice(choices) for _ in range(blocks)]
        for name, field in self.network_fields.items():
            genotype[name] = field.draw(rng)
        return genotype

    def mutate_genotype(self, genotype: dict[str, Any], rng: random.Random) -> dict[str, Any]:
        """Change one choice of the encoding that the network uses."""
        code = list(self.encode(Architecture.of(self.name, genotype)))
        options = [n if c >= 0 else 0 for n, c in zip(self._options(), code, strict=True)]
        position = rng.choice([i for i, n in enumerate(options) if n])
        code[position] = rng.choice([c for c in range(options[position]) if c != code[position]])
        stage = position - self._network_code_length()
        if 0 <= stage < len(self.base_depths):
            self._fit_depth(code, stage, rng)
        return self.decode(code).values

    def cross(self, first: Architecture, second: Architecture, rng: random.Random) -> Architecture:
        """See `Space.cross`. A block that one of the two lacks is that of the other."""
        pairs = zip(self.encode(first), self.encode(second), strict=True)
        code = [rng.choice([c for c in pair if c >= 0] or pair) for pair in pairs]
        for stage in range(len(self.base_depths)):
            self._fit_depth(code, stage, rng)
        return self.decode(code)

    def covering_architectures(self) -> list[Architecture]:
        """Return the largest network; all others are made of slices of its weights."""
        return [self._extreme(max)]

    def smallest_architecture(self) -> Architecture:
        """Return the architecture with the smallest value of every choice."""
        return self._extreme(min)

    def check(self, genotype: dict[str, Any]) -> None:
        """Raise GenotypeError unless all choices are known and every block has its own."""
        for name, choices in {"depth": self.depths, **self.block_fields}.items():
            self._check_list(name, genotype.get(name), choices)
        depth = genotype["depth"]
        complete = len(depth) == len(self.base_depths)
        if not complete or any(len(genotype[n]) != sum(self.block_counts(depth)) for n in self.block_fields):
            needed = " and one ".join(self.block_fields)
            raise GenotypeError(
                f"{self.name} genotype: needs {len(self.base_depths)} depths, and one {needed} per block"
            )
        for name, field in self.network_fields.items():
            if field.length is None and genotype.get(name) not in field.choices:
                raise GenotypeError(f"{self.name} genotype: '{name}' must be one of {field.choices}")
            if field.length is not None:
                self._check_list(name, genotype.get(name), field.choices)
                if len(genotype[name]) != field.length:
                    raise GenotypeError(f"{self.name} genotype: '{name}' must have {field.length} entries")

    def encode(self, architecture: Architecture) -> Sequence[int]:
        """Return network fields, depths, then the blocks' choices, field by field; -1 if a block does not exist."""
        genotype = self._checked_genotype(architecture)
        code = [f.choices.index(v) for name, f in self.network_fields.items() for v in f.to_list(genotype[name])]
        code += [self.depths.index(d) for d in genotype["depth"]]
        max_counts, counts = self.max_block_counts(), self.block_counts(genotype["depth"])
        for name, choices in self.block_fields.items():
            values = iter(genotype[name])
            for max_count, count in zip(max_counts, counts, strict=True):
                code += [choices.index(next(values)) if i < count else -1 for i in range(max_count)]
        return code

    def decode(self, code: Sequence[int]) -> Architecture:
        """Inverse of `encode`."""
        options, first_block = self._options(), self._network_code_length() + len(self.base_depths)
        if len(code) != len(options) or any(
            not (0 if i < first_block else -1) <= c < n for i, (c, n) in enumerate(zip(code, options, strict=True))
        ):
            raise GenotypeError(f"{self.name} code: must be {len(options)} indices of choices, see `encode`")
        genotype: dict[str, Any] = {}
        remaining = iter(code)
        for name, field in self.network_fields.items():
            genotype[name] = field.from_list([field.choices[next(remaining)] for _ in range(field.length or 1)])
        genotype["depth"] = [self.depths[next(remaining)] for _ in self.base_depths]
        for name, choices in self.block_fields.items():
            indices = [next(remaining) for _ in range(sum(self.max_block_counts()))]
            genotype[name] = [choices[c] for c in indices if c >= 0]
        architecture = Architecture.of(self.name, genotype)
        if list(self.encode(architecture)) != list(code):
            raise GenotypeError(f"{self.name} code: must be -1 for each block beyond the depths, and for no other")
        return architecture

    def _extreme(self, choose: Callable[[Sequence[float]], float]) -> Architecture:
        """Return the architecture whose every choice is the result of `choose`, such as min or max."""
        depth = [int(choose(self.depths))] * len(self.base_depths)
        genotype: dict[str, Any] = {"depth": depth}
        genotype |= {name: [choose(c)] * sum(self.block_counts(depth)) for name, c in self.block_fields.items()}
        genotype |= {
            name: f.from_list([choose(f.choices)] * (f.length or 1)) for name, f in self.network_fields.items()
        }
        return Architecture.of(self.name, genotype)

    def _check_list(self, name: str, values: Any, choices: tuple[float, ...]) -> None:
        if not isinstance(values, list) or any(v not in choices for v in values):
            raise GenotypeError(f"{self.name} genotype: '{name}' must be a list from {choices}")

    def max_block_counts(self) -> list[int]:
        """Return the largest number of blocks of every stage."""
        return self.block_counts([max(self.depths)] * len(self.base_depths))

    def _network_code_length(self) -> int:
        """Return the number of positions of the network fields in the encoding."""
        return sum(field.length or 1 for field in self.network_fields.values())

    def _options(self) -> list[int]:
        """Return the number of choices at every position of the encoding."""
        options = [len(field.choices) for field in self.network_fields.values() for _ in range(field.length or 1)]
        options += [len(self.depths)] * len(self.base_depths)
        return options + [
            len(choices) for choices in self.block_fields.values() for _ in range(sum(self.max_block_counts()))
        ]

    def _fit_depth(self, code: list[int], stage: int, rng: random.Random) -> None:
        """After a change of a depth, set random choices for added blocks and remove the choices of removed blocks."""
        first_depth, max_counts = self._network_code_length(), self.max_block_counts()
        count = self.base_depths[stage] + self.depths[code[first_depth + stage]]
        starts = [sum(max_counts[:i]) for i in range(len(max_counts) + 1)]
        first, end = list(pairwise(starts))[stage]
        for number, choices in enumerate(self.block_fields.values()):
            offset = first_depth + len(self.base_depths) + number * starts[-1]
            for i, position in enumerate(range(offset + first, offset + end)):
                if i >= count:
                    code[position] = -1
                elif code[position] < 0:
                    code[position] = rng.randrange(len(choices))
