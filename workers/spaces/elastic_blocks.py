"""Genotypes as in Once-for-All (Cai et al., ICLR 2020): a depth for every stage, choices for every block there is.

A family says which choices there are; sampling, mutation, checks and the encoding are the same for all of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from workers.errors import GenotypeError, RecipeError
from workers.messages.architecture import Architecture
from workers.spaces.base import Space

_WIDEST = 4


@dataclass(frozen=True, slots=True)
class Field:
    """A choice that does not depend on the depths: one value, or a list of `places` values."""

    choices: tuple[float, ...]
    places: int | None = None

    def draw(self, rng: random.Random) -> Any:
        """Uniform value or values."""
        return self.unlisted([rng.choice(self.choices) for _ in range(self.places or 1)])

    def listed(self, value: Any) -> list[Any]:
        """The value, or values, as a list."""
        return [value] if self.places is None else list(value)

    def unlisted(self, values: list[Any]) -> Any:
        """Inverse of `listed`."""
        return values[0] if self.places is None else values


def width_multiplier(genotype: Mapping[str, Any], settings: Mapping[str, Any]) -> float:
    """The `width` of a recipe's body settings where it has one, else that of the genotype. Raises RecipeError."""
    width = settings["width"]
    if width is None:
        return float(genotype["width"])
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width <= _WIDEST:
        raise RecipeError(f"body width {width}: must be a number above 0, at most {_WIDEST}, or unset")
    return float(width)


class ElasticSpace(Space):
    """Stage i has base_depths[i] blocks and as many more as its depth says, then come stages of one block each.

    depths: the choices of a stage's depth. single_blocks: how many stages of one block follow, without a depth.
    block_fields: the choices of every block. head: those of the network as a whole.
    """

    depths: tuple[int, ...]
    base_depths: tuple[int, ...]
    single_blocks: int = 0
    block_fields: Mapping[str, tuple[float, ...]]
    head: Mapping[str, Field]

    def blocks(self, depth: Sequence[int]) -> list[int]:
        """Number of blocks of every stage with these depths."""
        return [b + d for b, d in zip(self.base_depths, depth, strict=True)] + [1] * self.single_blocks

    def random_genotype(self, rng: random.Random) -> dict[str, Any]:
        """Depths uniform; the choices of blocks uniform for the blocks these depths have."""
        depth = [rng.choice(self.depths) for _ in self.base_depths]
        blocks = sum(self.blocks(depth))
        genotype: dict[str, Any] = {"depth": depth}
        for name, choices in self.block_fields.items():
            genotype[name] = [rng.choice(choices) for _ in range(blocks)]
        for name, field in self.head.items():
            genotype[name] = field.draw(rng)
        return genotype

    def mutate_genotype(self, genotype: dict[str, Any], rng: random.Random) -> dict[str, Any]:
        """Another choice in one place of the encoding that the network uses."""
        code = list(self.encode(Architecture.of(self.name, genotype)))
        options = [n if c >= 0 else 0 for n, c in zip(self._options(), code, strict=True)]
        place = rng.choice([i for i, n in enumerate(options) if n])
        code[place] = rng.choice([c for c in range(options[place]) if c != code[place]])
        stage = place - self._head_size()
        if 0 <= stage < len(self.base_depths):
            self._fit_depth(code, stage, rng)
        return self.decode(code).values

    def covering(self) -> list[Architecture]:
        """The largest network: every other one is made of slices of it."""
        return [self._extreme(max)]

    def smallest(self) -> Architecture:
        """The least of every choice."""
        return self._extreme(min)

    def check(self, genotype: dict[str, Any]) -> None:
        """Known choices, and as many of them as blocks."""
        for name, choices in {"depth": self.depths, **self.block_fields}.items():
            self._check_list(name, genotype.get(name), choices)
        depth = genotype["depth"]
        known = len(depth) == len(self.base_depths)
        if not known or any(len(genotype[n]) != sum(self.blocks(depth)) for n in self.block_fields):
            needed = " and one ".join(self.block_fields)
            raise GenotypeError(f"{self.name} genotype: needs {len(self.base_depths)} depths, and one {needed} a block")
        for name, field in self.head.items():
            if field.places is None and genotype.get(name) not in field.choices:
                raise GenotypeError(f"{self.name} genotype: '{name}' must be one of {field.choices}")
            if field.places is not None:
                self._check_list(name, genotype.get(name), field.choices)
                if len(genotype[name]) != field.places:
                    raise GenotypeError(f"{self.name} genotype: '{name}' must have {field.places} entries")

    def encode(self, architecture: Architecture) -> Sequence[int]:
        """Head, depths, then every block's choices, field by field; -1 where the network has no such block."""
        genotype = self._checked(architecture)
        code = [f.choices.index(v) for name, f in self.head.items() for v in f.listed(genotype[name])]
        code += [self.depths.index(d) for d in genotype["depth"]]
        slots, blocks = self.slots(), self.blocks(genotype["depth"])
        for name, choices in self.block_fields.items():
            values = iter(genotype[name])
            for most, count in zip(slots, blocks, strict=True):
                code += [choices.index(next(values)) if i < count else -1 for i in range(most)]
        return code

    def decode(self, code: Sequence[int]) -> Architecture:
        """Inverse of `encode`."""
        options, head = self._options(), self._head_size() + len(self.base_depths)
        if len(code) != len(options) or any(
            not (0 if place < head else -1) <= c < n for place, (c, n) in enumerate(zip(code, options, strict=True))
        ):
            raise GenotypeError(f"{self.name} code: must be {len(options)} indices of choices, see `encode`")
        genotype: dict[str, Any] = {}
        rest = iter(code)
        for name, field in self.head.items():
            genotype[name] = field.unlisted([field.choices[next(rest)] for _ in range(field.places or 1)])
        genotype["depth"] = [self.depths[next(rest)] for _ in self.base_depths]
        for name, choices in self.block_fields.items():
            table = [next(rest) for _ in range(sum(self.slots()))]
            genotype[name] = [choices[c] for c in table if c >= 0]
        architecture = Architecture.of(self.name, genotype)
        if list(self.encode(architecture)) != list(code):
            raise GenotypeError(f"{self.name} code: -1 must stand where the depths leave no block, and only there")
        return architecture

    def _extreme(self, choose: Callable[[Sequence[float]], float]) -> Architecture:
        """One choice for every field."""
        depth = [int(choose(self.depths))] * len(self.base_depths)
        genotype: dict[str, Any] = {"depth": depth}
        genotype |= {name: [choose(c)] * sum(self.blocks(depth)) for name, c in self.block_fields.items()}
        genotype |= {name: f.unlisted([choose(f.choices)] * (f.places or 1)) for name, f in self.head.items()}
        return Architecture.of(self.name, genotype)

    def _check_list(self, name: str, values: Any, choices: tuple[float, ...]) -> None:
        if not isinstance(values, list) or any(v not in choices for v in values):
            raise GenotypeError(f"{self.name} genotype: '{name}' must be a list from {choices}")

    def slots(self) -> list[int]:
        """Most blocks of every stage."""
        return self.blocks([max(self.depths)] * len(self.base_depths))

    def _head_size(self) -> int:
        return sum(field.places or 1 for field in self.head.values())

    def _options(self) -> list[int]:
        """Number of choices at every place of the encoding."""
        options = [len(field.choices) for field in self.head.values() for _ in range(field.places or 1)]
        options += [len(self.depths)] * len(self.base_depths)
        return options + [len(choices) for choices in self.block_fields.values() for _ in range(sum(self.slots()))]

    def _fit_depth(self, code: list[int], stage: int, rng: random.Random) -> None:
        """Give the blocks that a changed depth added random choices, and take those it removed."""
        head, slots = self._head_size(), self.slots()
        count = self.base_depths[stage] + self.depths[code[head + stage]]
        starts = [sum(slots[:i]) for i in range(len(slots) + 1)]
        first, last = list(pairwise(starts))[stage]
        for table, choices in enumerate(self.block_fields.values()):
            offset = head + len(self.base_depths) + table * starts[-1]
            for i, place in enumerate(range(offset + first, offset + last)):
                if i >= count:
                    code[place] = -1
                elif code[place] < 0:
                    code[place] = rng.randrange(len(choices))
