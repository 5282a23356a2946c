"""The declaration of a search space: a YAML file that names a function and the parameters it is called with.

name: mynets
build: mynets.backbones:build
parameters:
  depth: {choices: [1, 2, 3]}
  width: {range: [16, 64], step: 8}
  expand: {choices: [2, 4], if: {depth: [2, 3]}}
"""

from __future__ import annotations

import hashlib
import json
import keyword
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from workers.errors import SpaceError
from workers.spaces.parameters import Parameter, Parameters, Value, listed
from workers.yaml_file import read_mapping

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_BUILD = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_MAX_CHOICES = 10_000  # of one parameter
_MAX_PARAMETERS = 256
_EXPECTED = "of name, build and parameters, see docs/howto/use-your-own-networks.md"


@dataclass(frozen=True, slots=True)
class Declaration:
    """A checked declaration.

    build: "package.module:function". version: the user raises it when the function builds other networks. folder: of
    the file; the function's module may be in it. Empty if the file is part of an installed package.
    """

    name: str
    build: str
    version: int
    parameters: tuple[Parameter, ...]
    folder: str = ""

    @property
    def hash(self) -> str:
        """A hash of everything but the name and the folder, as 12 hexadecimal digits.

        It does not cover the code of the function.
        """
        parameters = [[p.name, p.choices, p.conditions] for p in self.parameters]
        text = json.dumps([self.build, self.version, parameters])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a file that declares the same, with all choices listed."""
        parameters = {p.name: {"choices": list(p.choices), "if": dict(p.conditions)} for p in self.parameters}
        return {"name": self.name, "build": self.build, "version": self.version, "parameters": parameters}

    @property
    def module(self) -> str:
        """The name of the function's module."""
        return self.build.partition(":")[0]


def read_declaration(path: Path) -> Declaration:
    """Return the declaration in a YAML file. Raises SpaceError, in one line, for the first mistake in it."""
    raw = read_mapping(path, "space", SpaceError, "a readable YAML file or a space", _EXPECTED)
    try:
        return parse_declaration(raw, str(path.absolute().parent))
    except ValueError as error:
        raise SpaceError(f"space {path}: {error}") from None


def parse_declaration(raw: Mapping[str, Any], folder: str = "") -> Declaration:
    """Return the declaration with the fields of a file. Raises ValueError, which says what is wrong and what to do."""
    try:
        fields = _Fields.model_validate(raw)
    except ValidationError as error:
        raise ValueError(_first_mistake(error)) from None
    check_name(fields.name)
    if not _BUILD.fullmatch(fields.build):
        raise ValueError(f"build '{fields.build}': write package.module:function")
    if not 0 < len(fields.parameters) <= _MAX_PARAMETERS:
        raise ValueError(f"parameters: there are {len(fields.parameters)}: declare 1 to {_MAX_PARAMETERS}")
    parameters = _parameters(fields.parameters)
    _check_together(parameters)
    return Declaration(fields.name, fields.build, fields.version, parameters, folder)


class _ParameterFields(BaseModel):
    model_config = ConfigDict(extra="forbid")

    choices: list[Any] | None = None
    range: list[Any] | None = None
    step: Any = None
    conditions: dict[str, Any] = Field(default_factory=dict, alias="if")


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: StrictStr
    build: StrictStr
    version: StrictInt = Field(default=1, ge=1)
    parameters: dict[str, _ParameterFields]


def check_name(name: str) -> None:
    """Raise ValueError, with the rule, for a name that a space cannot have."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"name '{name}': use up to 40 lower-case letters, digits, - and _, beginning with a letter")


def _first_mistake(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "[key]")
    if first["type"] == "extra_forbidden":
        inside = _ParameterFields if len(first["loc"]) > 2 else _Fields
        known = ", ".join(f.alias or name for name, f in inside.model_fields.items())
        return f"{where}: is unknown: use {known}"
    if first["type"] == "missing":
        return f"{where}: is missing: add it"
    return f"{where}: {first['msg']}, not {first['input']!r}"


def _parameters(fields: Mapping[str, _ParameterFields]) -> tuple[Parameter, ...]:
    """Return the parameters with their choices listed. Raises ValueError."""
    parameters: dict[str, Parameter] = {}
    _check_cycles(fields)
    for name, field in fields.items():
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ValueError(f"parameters: '{name}' cannot be the name of a Python argument: rename it")
        try:
            choices = _choices(field)
            conditions = {other: _condition(other, v, fields, parameters) for other, v in field.conditions.items()}
        except ValueError as error:
            raise ValueError(f"parameters.{name}.{error}") from None
        parameters[name] = Parameter(name, choices, conditions)
    return tuple(parameters.values())


def _choices(field: _ParameterFields) -> tuple[Value, ...]:
    if (field.choices is None) == (field.range is None):
        raise ValueError("choices: write either choices or range")
    if field.choices is None:
        return _range(field.range or [], field.step)
    if field.step is not None:
        raise ValueError("step: belongs to range: remove it")
    if not field.choices:
        raise ValueError("choices: there are none: list at least one")
    for choice in field.choices:
        if not isinstance(choice, bool | int | float | str) or choice != choice or choice in (math.inf, -math.inf):
            raise ValueError(f"choices: {choice!r} is not a number, text, true or false")
    for i, choice in enumerate(field.choices):
        if choice in field.choices[:i]:  # 1, 1.0 and true are equal in Python
            raise ValueError(f"choices: {choice!r} is there twice: remove one")
    _check_count(len(field.choices), "choices")
    return tuple(field.choices)


def _range(bounds: Sequence[Any], step: Any) -> tuple[Value, ...]:
    """Return the numbers from the first bound to the last: integers if bounds and step are integers, else floats."""
    if len(bounds) != 2 or not all(map(_is_number, bounds)):
        raise ValueError(f"range: {bounds!r} is not two numbers: write [LOWEST, HIGHEST]")
    whole = all(isinstance(number, int) for number in (*bounds, 1 if step is None else step))
    if step is None and not whole:
        raise ValueError("step: is missing: add it, as networks are drawn from finitely many")
    step = 1 if step is None else step
    if not _is_number(step) or step <= 0:
        raise ValueError(f"step: {step!r} is not a number above 0")
    low, high, width = (Decimal(str(number)) for number in (*bounds, step))  # 0.1 is exact
    if low >= high:
        raise ValueError(f"range: {bounds[0]} is not below {bounds[1]}: exchange or change them")
    if (high - low) % width:
        raise ValueError(f"step: {step} does not divide the range from {bounds[0]} to {bounds[1]}: change one of them")
    count = int((high - low) / width) + 1
    _check_count(count, "range")
    numbers = (low + i * width for i in range(count))
    return tuple(int(number) if whole else float(number) for number in numbers)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_count(count: int, what: str) -> None:
    if count > _MAX_CHOICES:
        raise ValueError(f"{what}: gives {count} choices, at most {_MAX_CHOICES} are possible: use a larger step")


def _condition(
    other: str, value: Any, fields: Mapping[str, _ParameterFields], earlier: Mapping[str, Parameter]
) -> tuple[Value, ...]:
    """Return the values of parameter `other` for which the condition holds."""
    if other not in fields:
        raise ValueError(f"if: there is no parameter '{other}': use one of {', '.join(fields)}")
    if other not in earlier:
        raise ValueError(f"if: '{other}' is declared later: move it up, above this parameter")
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not values:
        raise ValueError(f"if: no value of '{other}' is listed: list those for which the parameter exists")
    choices = earlier[other].choices
    for wanted in values:
        if not any(wanted == choice and type(wanted) is type(choice) for choice in choices):
            raise ValueError(f"if: {wanted!r} is no choice of '{other}': use {listed(choices)}")
    return tuple(choice for choice in choices if choice in values)


def _check_cycles(fields: Mapping[str, _ParameterFields]) -> None:
    """Raise ValueError if a parameter depends on itself, directly or through others."""
    try:
        TopologicalSorter({name: field.conditions for name, field in fields.items()}).prepare()
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise ValueError(f"parameters.{error.args[1][0]}.if: depends on itself ({cycle}): remove a condition") from None


def _check_together(parameters: Sequence[Parameter]) -> None:
    """Raise ValueError if the parameters do not make a space of at least two networks."""
    together = Parameters(parameters)
    if together.too_entangled:
        raise ValueError("parameters: conditions depend on too many choices at once: use fewer conditions or choices")
    if together.size < 2:
        raise ValueError("parameters: there is only one network: add choices")
    if never := together.never_active:
        raise ValueError(f"parameters.{never[0]}.if: never holds: change or remove it")
