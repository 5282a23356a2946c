"""Counting, drawing, mutating and encoding of conditional parameters, compared with enumeration."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Mapping

import pytest

from workers.spaces.parameters import INACTIVE, Parameter, Parameters, Value

PLAIN = Parameters([Parameter("a", (1, 2)), Parameter("b", ("x", "y", "z"))])
CHAIN = Parameters(
    [
        Parameter("a", (1, 2, 3)),
        Parameter("free", (0.5, 1.0)),
        Parameter("b", (True, False), {"a": (2, 3)}),
        Parameter("c", (7, 8, 9), {"b": (True,), "a": (3,)}),
        Parameter("d", ("u", "v"), {"c": (8,)}),
        Parameter("e", (1, 2), {"a": (1,)}),
    ]
)


def random_parameters(seed: int) -> Parameters:
    rng, parameters = random.Random(seed), list[Parameter]()
    for i in range(6):
        conditions: dict[str, tuple[Value, ...]] = {}
        for other in rng.sample(parameters, min(len(parameters), rng.choice([0, 0, 1, 2]))):
            conditions[other.name] = tuple(c for c in other.choices if rng.random() < 0.5) or other.choices[:1]
        parameters.append(Parameter(f"p{i}", tuple(range(rng.randint(1, 3))), conditions))
    return Parameters(parameters)


ALL = [PLAIN, CHAIN, *map(random_parameters, range(20))]


def enumerate_assignments(parameters: Parameters) -> list[dict[str, Value]]:
    """All assignments, from all codes of the longest form."""
    found: dict[str, dict[str, Value]] = {}
    for values in itertools.product(*(p.choices for p in parameters.parameters)):
        assignment: dict[str, Value] = {}
        for parameter, value in zip(parameters.parameters, values, strict=True):
            if all(assignment.get(n, object()) in v for n, v in parameter.conditions.items()):
                assignment[parameter.name] = value
        found[repr(assignment)] = assignment
    return list(found.values())


@pytest.mark.parametrize("parameters", ALL)
def test_every_number_is_an_assignment(parameters: Parameters) -> None:
    codes = [parameters.code(number) for number in range(parameters.size)]
    assert codes == sorted(codes)
    assert sorted(map(repr, map(parameters.values, codes))) == sorted(map(repr, enumerate_assignments(parameters)))
    assert all(parameters.indices(parameters.values(code)) == code for code in codes)


@pytest.mark.parametrize("parameters", ALL)
def test_mutations_change_one_choice(parameters: Parameters) -> None:
    if parameters.size < 2:
        pytest.skip("one assignment")
    rng = random.Random(0)
    for number in range(parameters.size):
        code = parameters.code(number)
        mutated = parameters.mutate(code, rng)
        assert parameters.indices(parameters.values(mutated)) == mutated
        assert sum(a != b for a, b in zip(code, mutated, strict=True) if INACTIVE not in (a, b)) == 1


def test_mutations_reach_every_assignment() -> None:
    rng, code, seen = random.Random(0), CHAIN.code(0), set[tuple[int, ...]]()
    for _ in range(2000):
        seen.add(tuple(code))
        code = CHAIN.mutate(code, rng)
    assert len(seen) == CHAIN.size


@pytest.mark.parametrize("parameters", [PLAIN, CHAIN])
def test_draws_are_uniform_over_assignments(parameters: Parameters) -> None:
    rng, draws = random.Random(0), 400 * parameters.size
    counts = Counter(tuple(parameters.draw(rng)) for _ in range(draws))
    assert len(counts) == parameters.size
    expected = draws / parameters.size
    chi_squared = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_squared < 2 * parameters.size + 10  # its mean is size - 1


def test_large_spaces_are_counted() -> None:
    many = Parameters(
        [
            Parameter(f"d{i}", (1, 2, 3)) if i % 2 == 0 else Parameter(f"w{i}", (1, 2), {f"d{i - 1}": (2, 3)})
            for i in range(80)
        ]
    )
    assert many.size == 5**40
    assert many.indices(many.values(many.draw(random.Random(0))))
    assert not many.too_entangled


def test_conditions_on_many_choices_at_once_are_too_entangled() -> None:
    first = [Parameter(f"a{i}", tuple(range(9))) for i in range(6)]
    last = Parameter("last", (1, 2), {p.name: (1,) for p in first})
    assert Parameters([*first, last]).too_entangled


def test_parameters_that_never_exist_are_named() -> None:
    b, c = Parameter("b", (1, 2), {"a": (1,)}), Parameter("c", (1,), {"b": (1,), "a": (2,)})
    assert Parameters([Parameter("a", (1, 2)), b, c]).never_active == ["c"]
    assert CHAIN.never_active == []


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"a": 1, "free": 0.5}, "'e' is missing"),
        ({"a": 1, "free": 0.5, "b": True, "e": 1}, "'b' exists only if a is 2 or 3"),
        ({"a": 4, "free": 0.5, "e": 1}, "'a' must be one of 1, 2, 3"),
        ({"a": True, "free": 0.5, "e": 1}, "'a' must be one of 1, 2, 3"),
        ({"a": 1, "free": 1, "e": 1}, "'free' must be one of 0.5, 1.0"),
        ({"a": 1, "free": 1.0, "e": [1]}, "'e' must be one of 1, 2"),
        ({"a": 1, "free": 1.0, "e": 1, "f": 1}, "'f' is no parameter"),
    ],
)
def test_wrong_assignments_are_refused(values: Mapping[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        CHAIN.indices(values)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ([0, 0], "has 2 entries, not 6"),
        ([3, 0, -1, -1, -1, 0], "has 3 for 'a', which must be from 0 to 2"),
        ([0, 0, 0, -1, -1, 0], "has 0 for 'b', which must be -1"),
        ([0, 0, -1, -1, -1, -1], "has -1 for 'e', which must be from 0 to 1"),
    ],
)
def test_wrong_codes_are_refused(code: list[int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        CHAIN.values(code)
