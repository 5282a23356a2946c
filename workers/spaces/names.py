"""Architectures by name: SPACE:GENOTYPE, or timm:MODEL for a backbone of timm."""

from __future__ import annotations

from workers.errors import GenotypeError
from workers.messages.architecture import Architecture
from workers.spaces.base import get_space


def architecture_named(name: str) -> Architecture:
    """Return the architecture of a name.

    The genotype is JSON, or a string as the space's publishers write it. Raises UnknownNameError for an unknown space,
    GenotypeError for another form or a genotype outside the space.
    """
    kind, _, genotype = name.partition(":")
    if not kind or not genotype:
        raise GenotypeError(f"'{name}' is not an architecture: write SPACE:GENOTYPE, or timm:MODEL")
    if kind == "timm":
        architecture = Architecture.of("zoo", {"model": genotype})
        get_space("zoo").check(architecture.values)
        return architecture
    space = get_space(kind)
    return space.parse_json(genotype) if genotype.startswith("{") else space.parse(genotype)
