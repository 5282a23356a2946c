"""A part of the genotype that a search holds fixed, such as `--hold depths.0=2`."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.errors import ConfigError
from predictor.errors import AIOPError
from workers.messages.architecture import Architecture
from workers.spaces import Space

_TRIES = 200  # draws before a part that never fits is reported


class Held:
    """Draws, mutates and crosses architectures of a space whose genotypes have given values in given places.

    held: values by place. A place is a path such as `depths.0`: names of fields and positions in lists.
    """

    def __init__(self, space: Space, held: Mapping[str, Any] | None = None) -> None:
        """Raises ConfigError, which lists the places there are, for a place or a value that the space does not have."""
        self.space, self._held = space, dict(held or {})
        if self._held:
            self._check()

    def holds(self, architecture: Architecture) -> bool:
        """Return whether an architecture has all the values that are held."""
        values = architecture.values
        return all(_value_at(values, path) == value for path, value in self._held.items())

    def fixed(self, architecture: Architecture) -> Architecture | None:
        """Return the architecture with the held values; None if the space has no such one."""
        if not self._held:
            return architecture
        values = copy.deepcopy(architecture.values)
        try:
            for path, value in self._held.items():
                _set_value(values, path, value)
            self.space.check(values)
        except (AIOPError, LookupError, TypeError):
            return None
        return self.space.architecture(values)

    def drawn(self, seed: int) -> Iterator[Architecture]:
        """Yield random architectures with the held values, each once. See `Space.sequence`."""
        seen = set[Architecture]()
        for drawn in self.space.sequence(seed):
            architecture = self.fixed(drawn)
            if architecture is not None and architecture not in seen:
                seen.add(architecture)
                yield architecture

    def mutated(self, architecture: Architecture, rng: random.Random) -> Architecture:
        """Return a neighbour, or the architecture itself if none is found that has the held values."""
        for _ in range(_TRIES):
            found = self.fixed(self.space.mutate(architecture, rng))
            if found is not None and found != architecture:
                return found
        return architecture

    def crossed(self, first: Architecture, second: Architecture, rng: random.Random) -> Architecture:
        """Return a crossing of two architectures with the held values; the first if the space has none."""
        return self.fixed(self.space.cross(first, second, rng)) or first

    def _check(self) -> None:
        rng = random.Random(0)
        for _ in range(_TRIES):
            drawn = self.space.sample(rng)
            for path in self._held:
                try:
                    _value_at(drawn.values, path)
                except (LookupError, TypeError, ValueError):
                    places = ", ".join(_places(drawn.values))
                    raise ConfigError(
                        f"--hold {path}: space {self.space.name} has no such place: choose from {places}"
                    ) from None
            if self.fixed(drawn) is not None:
                return
        shown = ", ".join(f"{path}={value}" for path, value in self._held.items())
        genotype = self.space.sample(rng).genotype
        raise ConfigError(f"--hold {shown}: no architecture of space {self.space.name} has it; one has {genotype}")


def _places(values: Any, before: str = "") -> list[str]:
    """Return the paths of all plain values."""
    if isinstance(values, dict):
        parts: list[tuple[str, Any]] = [(str(name), value) for name, value in values.items()]
    elif isinstance(values, list):
        parts = [(str(position), value) for position, value in enumerate(values)]
    else:
        return [before]
    return [place for name, value in parts for place in _places(value, f"{before}.{name}" if before else name)]


def _value_at(values: Any, path: str) -> Any:
    for part in path.split("."):
        values = values[int(part)] if isinstance(values, list) else values[part]
    return values


def _set_value(values: Any, path: str, value: Any) -> None:
    *before, last = path.split(".")
    inner = _value_at(values, ".".join(before)) if before else values
    if isinstance(inner, list):
        inner[int(last)] = value
    else:
        if last not in inner:
            raise KeyError(last)
        inner[last] = value
