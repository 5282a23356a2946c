"""Declarations of spaces: what a file means, and one line for every mistake in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from workers.errors import SpaceError
from workers.spaces.declaration import parse_declaration, read_declaration
from workers.spaces.parameters import Value

GOOD: dict[str, Any] = {"name": "mynets", "build": "mynets:build", "parameters": {"a": {"choices": [1, 2]}}}


def with_parameters(**parameters: Any) -> dict[str, Any]:
    return GOOD | {"parameters": parameters}


def choices_of(parameter: dict[str, Any]) -> tuple[Value, ...]:
    return parse_declaration(with_parameters(p=parameter)).parameters[0].choices


@pytest.mark.parametrize(
    ("parameter", "choices"),
    [
        ({"choices": [3, "x", True, 0.5]}, (3, "x", True, 0.5)),
        ({"range": [16, 64], "step": 8}, (16, 24, 32, 40, 48, 56, 64)),
        ({"range": [1, 4]}, (1, 2, 3, 4)),
        ({"range": [0.1, 0.4], "step": 0.1}, (0.1, 0.2, 0.3, 0.4)),
        ({"range": [1, 2], "step": 0.5}, (1.0, 1.5, 2.0)),
        ({"range": [-2, 2], "step": 2}, (-2, 0, 2)),
    ],
)
def test_choices(parameter: dict[str, Any], choices: tuple[Value, ...]) -> None:
    found = choices_of(parameter)
    assert found == choices
    assert list(map(type, found)) == list(map(type, choices))


CONDITIONAL = with_parameters(a={"choices": [1, 2]}, b={"choices": [1, 2], "if": {"a": 2}})
MISTAKES: list[tuple[Any, str]] = [
    ("just text", "must be a mapping of name, build and parameters"),
    ("a: [1", "not YAML"),
    ({}, "name: is missing: add it"),
    (GOOD | {"nmae": 1}, "nmae: is unknown: use name, build, version, parameters"),
    (GOOD | {"name": "My Nets"}, "name 'My Nets': use up to 40 lower-case letters"),
    (GOOD | {"name": "x" * 41}, "use up to 40"),
    (GOOD | {"name": 7}, "name: Input should be a valid string, not 7"),
    (GOOD | {"build": "mynets"}, "build 'mynets': write package.module:function"),
    (GOOD | {"build": "nets/backbones.py:build"}, "write package.module:function"),
    (GOOD | {"version": 0}, "version: Input should be greater than or equal to 1"),
    (GOOD | {"parameters": {}}, "parameters: there are 0: declare 1 to 256"),
    (GOOD | {"parameters": [1]}, "parameters: Input should be a valid dictionary"),
    (with_parameters(a=[1, 2]), "parameters.a: Input should be"),
    (with_parameters(a={"choises": [1, 2]}), "parameters.a.choises: is unknown: use choices, range, step, if"),
    (with_parameters(a={}), "parameters.a.choices: write either choices or range"),
    (with_parameters(a={"choices": [1, 2], "range": [1, 2]}), "write either choices or range"),
    (with_parameters(a={"choices": []}), "parameters.a.choices: there are none"),
    (with_parameters(a={"choices": [3, 5, 3]}), "parameters.a.choices: 3 is there twice: remove one"),
    (with_parameters(a={"choices": [1, True]}), "True is there twice"),
    (with_parameters(a={"choices": [[1], [2]]}), r"[1] is not a number, text, true or false"),
    (with_parameters(a={"choices": [1, None]}), "None is not a number"),
    (with_parameters(a={"choices": [1, float("nan")]}), "nan is not a number"),
    (with_parameters(a={"choices": [1, 2], "step": 1}), "parameters.a.step: belongs to range: remove it"),
    (with_parameters(a={"range": [1]}), "write [LOWEST, HIGHEST]"),
    (with_parameters(a={"range": [1, "x"]}), "write [LOWEST, HIGHEST]"),
    (with_parameters(a={"range": [9, 1]}), "parameters.a.range: 9 is not below 1"),
    (with_parameters(a={"range": [16, 64], "step": 10}), "step: 10 does not divide the range from 16 to 64"),
    (with_parameters(a={"range": [0.1, 0.5]}), "parameters.a.step: is missing"),
    (with_parameters(a={"range": [1, 5], "step": 0}), "step: 0 is not a number above 0"),
    (with_parameters(a={"range": [0, 1_000_000]}), "gives 1000001 choices, at most 10000"),
    (with_parameters(**{"a-b": {"choices": [1, 2]}}), "'a-b' cannot be the name of a Python argument"),
    (with_parameters(**{"class": {"choices": [1, 2]}}), "'class' cannot be the name of a Python argument"),
    (with_parameters(a={"choices": [1]}), "there is only one network: add choices"),
    (with_parameters(a={"choices": [1, 2], "if": {"z": 1}}), "parameters.a.if: there is no parameter 'z'"),
    (
        with_parameters(a={"choices": [1, 2], "if": {"b": 1}}, b={"choices": [1, 2]}),
        "parameters.a.if: 'b' is declared later: move it up",
    ),
    (with_parameters(a={"choices": [1, 2], "if": {"a": 1}}), "depends on itself (a -> a): remove a condition"),
    (
        with_parameters(a={"choices": [1, 2], "if": {"b": 1}}, b={"choices": [1, 2], "if": {"a": 1}}),
        "depends on itself",
    ),
    (
        with_parameters(a={"choices": [1, 2]}, b={"choices": [1, 2], "if": {"a": [2, 3]}}),
        "parameters.b.if: 3 is no choice of 'a': use 1, 2",
    ),
    (with_parameters(a={"choices": [1, 2]}, b={"choices": [1, 2], "if": {"a": []}}), "no value of 'a' is listed"),
    (
        CONDITIONAL | {"parameters": CONDITIONAL["parameters"] | {"c": {"choices": [1, 2], "if": {"a": 1, "b": 1}}}},
        "parameters.c.if: never holds",
    ),
    (
        with_parameters(
            **{f"a{i}": {"range": [1, 9]} for i in range(6)},
            z={"choices": [1, 2], "if": {f"a{i}": 1 for i in range(6)}},
        ),
        "conditions depend on too many choices at once",
    ),
]


@pytest.mark.parametrize(("document", "says"), MISTAKES)
def test_a_mistake_is_one_line_that_names_the_file(document: Any, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mynets.yaml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document, sort_keys=False))
    with pytest.raises(SpaceError) as caught:
        read_declaration(path)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"space {path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="No such file or directory: name a readable YAML file or a space"):
        read_declaration(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "changed",
    [
        GOOD | {"build": "mynets:other"},
        GOOD | {"version": 2},
        with_parameters(a={"choices": [1, 2, 3]}),
        with_parameters(a={"choices": [2, 1]}),
        with_parameters(a={"choices": [1, 2.0]}),
        with_parameters(b={"choices": [1, 2]}),
        CONDITIONAL,
    ],
)
def test_the_hash_covers_every_field(changed: dict[str, Any]) -> None:
    assert parse_declaration(changed).hash != parse_declaration(GOOD).hash


def test_the_hash_is_that_of_the_meaning() -> None:
    """The values are part of the ids of stored architectures, so they never change."""
    same = with_parameters(a={"range": [1, 2]}) | {"version": 1, "name": "renamed"}
    assert parse_declaration(same, "/folder").hash == parse_declaration(GOOD).hash == "0b5785a4a819"


def test_fields_declare_the_same() -> None:
    declaration = parse_declaration(CONDITIONAL | {"version": 3}, "/folder")
    assert parse_declaration(declaration.fields, "/folder") == declaration
