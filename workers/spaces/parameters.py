"""Discrete parameters with conditions: count their assignments, draw them uniformly, mutate and encode them.

An assignment gives a value to every active parameter. A parameter without a condition is always active; one with a
condition is active if the parameters that the condition names are active and have one of its values.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Value = bool | int | float | str

INACTIVE = -1  # in a code, in place of the index of a choice
_MAX_STATES = 100_000


@dataclass(frozen=True, slots=True)
class Parameter:
    """A choice. conditions: values by the names of earlier parameters; all of them must hold for it to be active."""

    name: str
    choices: tuple[Value, ...]
    conditions: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)


class Parameters:
    """Parameters in the order of their declaration. A condition may name earlier parameters only.

    A code has one entry per parameter: the index of its choice, or INACTIVE. Codes and assignments correspond one to
    one.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.parameters = tuple(parameters)
        positions = {parameter.name: i for i, parameter in enumerate(self.parameters)}
        # By position of the parameter: for each condition, a position and the indices that it allows there.
        self._conditions = [
            [
                (positions[name], frozenset(map(self._indices[positions[name]].__getitem__, map(_key, values))))
                for name, values in parameter.conditions.items()
            ]
            for parameter in self.parameters
        ]
        last_use = {other: i for i, conditions in enumerate(self._conditions) for other, _ in conditions}
        # Earlier parameters whose choices decide which of the parameters from this position on are active.
        self._deciding = [[p for p in range(i) if last_use.get(p, -1) >= i] for i in range(len(self.parameters) + 1)]
        self._counts: dict[tuple[int, tuple[int, ...]], int] = {}
        self._reached: set[int] = set()  # positions that are active in some assignment

    @property
    def too_entangled(self) -> bool:
        """Whether conditions depend on so many choices at once that assignments cannot be counted."""
        return any(
            math.prod(len(self.parameters[p].choices) + 1 for p in deciding) > _MAX_STATES
            for deciding in self._deciding
        )

    @cached_property
    def size(self) -> int:
        """The number of assignments."""
        return self._count(0, ())

    @property
    def never_active(self) -> list[str]:
        """Names of parameters that are active in no assignment."""
        assert self.size
        return [parameter.name for i, parameter in enumerate(self.parameters) if i not in self._reached]

    def draw(self, rng: random.Random) -> list[int]:
        """Return the code of a random assignment; all assignments have the same probability."""
        return self.code(rng.randrange(self.size))

    def code(self, number: int) -> list[int]:
        """Return the code of assignment `number`, from 0 to `size` - 1, in lexical order of codes."""
        assert 0 <= number < self.size
        code: list[int] = []
        for position in range(len(self.parameters)):
            for choice in self._options(position, code):
                below = self._count(position + 1, self._state([*code, choice]))
                if position not in self._deciding[position + 1] and choice != INACTIVE:
                    choice, number = divmod(number, below)  # the same count for every choice
                    break
                if number < below:
                    break
                number -= below
            code.append(choice)
        return code

    def mutate(self, code: Sequence[int], rng: random.Random) -> list[int]:
        """Return a code with another choice of one active parameter, each of them with the same probability.

        Parameters that become active get a uniform choice, others become inactive. There must be two assignments.
        """
        options = [i for i, choice in enumerate(code) if choice != INACTIVE and len(self.parameters[i].choices) > 1]
        changed, mutated = rng.choice(options), list(code)
        others = [c for c in range(len(self.parameters[changed].choices)) if c != code[changed]]
        mutated[changed] = rng.choice(others)
        for i in range(changed + 1, len(code)):
            if not self._is_active(i, mutated):
                mutated[i] = INACTIVE
            elif mutated[i] == INACTIVE:
                mutated[i] = rng.randrange(len(self.parameters[i].choices))
        return mutated

    def values(self, code: Sequence[int]) -> dict[str, Value]:
        """Return the assignment of a code. Raises ValueError, which says what is wrong, for a code that has none."""
        if len(code) != len(self.parameters):
            raise ValueError(f"has {len(code)} entries, not {len(self.parameters)}")
        values = {}
        for i, (parameter, choice) in enumerate(zip(self.parameters, code, strict=True)):
            if choice not in self._options(i, code):
                expected = f"from 0 to {len(parameter.choices) - 1}" if self._is_active(i, code) else str(INACTIVE)
                raise ValueError(f"has {choice} for '{parameter.name}', which must be {expected}")
            if choice != INACTIVE:
                values[parameter.name] = parameter.choices[choice]
        return values

    def indices(self, values: Mapping[str, Any]) -> list[int]:
        """Return the code of an assignment. Raises ValueError, which says what is wrong, if it is not one."""
        code: list[int] = []
        for i, parameter in enumerate(self.parameters):
            present = parameter.name in values
            if present != self._is_active(i, code):
                raise ValueError(f"'{parameter.name}' is missing" if not present else self._why_inactive(parameter))
            code.append(INACTIVE)
            if present:
                code[i] = self._indices[i].get(_key(values[parameter.name]), INACTIVE)
                if code[i] == INACTIVE:
                    raise ValueError(f"'{parameter.name}' must be one of {listed(parameter.choices)}")
        if unknown := values.keys() - {parameter.name for parameter in self.parameters}:
            raise ValueError(f"'{min(unknown, key=str)}' is no parameter of this space")
        return code

    @cached_property
    def _indices(self) -> list[dict[str, int]]:
        """By position: the index of each choice."""
        return [{_key(choice): i for i, choice in enumerate(p.choices)} for p in self.parameters]

    def _is_active(self, position: int, code: Sequence[int]) -> bool:
        """Return whether a parameter is active, from the entries before it."""
        return all(code[other] in allowed for other, allowed in self._conditions[position])

    def _options(self, position: int, code: Sequence[int]) -> Sequence[int]:
        return range(len(self.parameters[position].choices)) if self._is_active(position, code) else (INACTIVE,)

    def _state(self, code: Sequence[int]) -> tuple[int, ...]:
        """Return the part of a code's beginning that decides what may follow."""
        return tuple(code[p] for p in self._deciding[len(code)])

    def _count(self, position: int, state: tuple[int, ...]) -> int:
        """Return the number of ways to go on from `position`. state: of the code before it."""
        if position == len(self.parameters):
            return 1
        if (position, state) not in self._counts:
            code = [INACTIVE] * position
            for other, choice in zip(self._deciding[position], state, strict=True):
                code[other] = choice
            options = self._options(position, code)
            if options[0] != INACTIVE:
                self._reached.add(position)
            if position in self._deciding[position + 1]:
                count = sum(self._count(position + 1, self._state([*code, choice])) for choice in options)
            else:
                count = len(options) * self._count(position + 1, self._state([*code, options[0]]))
            self._counts[position, state] = count
        return self._counts[position, state]

    def _why_inactive(self, parameter: Parameter) -> str:
        needs = " and ".join(f"{name} is {listed(values, ' or ')}" for name, values in parameter.conditions.items())
        return f"'{parameter.name}' exists only if {needs}"


def listed(values: Sequence[Value], separator: str = ", ") -> str:
    """Return values as text, at most six of them."""
    shown = [json.dumps(value) for value in values]
    return separator.join(shown if len(shown) <= 6 else [*shown[:3], "...", shown[-1]])


def _key(value: Any) -> str:
    """Return text that is equal for equal values of equal types: 1, 1.0 and true differ."""
    return json.dumps(value, default=str, sort_keys=True)
