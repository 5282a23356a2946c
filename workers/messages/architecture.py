"""An architecture: a search space and a genotype, identified by their hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Architecture:
    """A point of a search space. `genotype` is canonical JSON, so equal architectures compare equal.

    declaration: hash of the declaration if a user declared the space, so that two declarations of one name never mix.
    """

    space: str
    genotype: str
    declaration: str = ""

    @classmethod
    def of(cls, space: str, genotype: dict[str, Any], declaration: str = "") -> Architecture:
        """Return the architecture of `space` for a genotype in plain Python values."""
        return cls(space, json.dumps(genotype, sort_keys=True, separators=(",", ":")), declaration)

    @property
    def values(self) -> dict[str, Any]:
        """The genotype in plain Python values."""
        loaded: dict[str, Any] = json.loads(self.genotype)
        return loaded

    @property
    def id(self) -> str:
        """16 hexadecimal digits, stable across runs and machines."""
        parts = [self.space, self.genotype, *([self.declaration] if self.declaration else [])]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
