"""Ask what to label, tell the labels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from orchestrator.errors import ConfigError
from orchestrator.search.chooser import Choice, Chooser, SetName
from tests.support.numbered_space import SIZE, SPACE, FlopsSurrogate, candidates, traced, value_of

BEST_VALUE = max(value_of(SPACE.architecture({"number": number})) for number in range(SIZE))


def chooser(mode: str = "both", **fields: object) -> Chooser:
    return Chooser(candidates(), mode, FlopsSurrogate(), **fields)  # type: ignore[arg-type]


def tell_all(asked: Chooser, choices: list[Choice]) -> None:
    for choice in choices:
        asked.tell(choice.architecture, value_of(choice.architecture), 1.0)


def test_the_best_network_is_found_soon() -> None:
    asked, values = chooser("best"), list[float]()
    for _ in range(4):
        choices = asked.ask(4)
        tell_all(asked, choices)
        values += [value_of(choice.architecture) for choice in choices]
    assert max(values) == BEST_VALUE
    assert asked.labels == 16


def test_too_few_labels_give_diverse_networks() -> None:
    asked = chooser("best")
    tell_all(asked, asked.ask(2))
    assert all(choice.reason.startswith("diverse") and choice.mean is None for choice in asked.ask(3))
    tell_all(asked, asked.ask(1))
    (choice,) = asked.ask()
    assert choice.reason.startswith("best")
    assert choice.mean is not None
    assert choice.flops == traced(choice.architecture).flops


@pytest.mark.parametrize("mode", ["diverse", "best", "both"])
def test_nothing_is_asked_twice_and_no_two_graphs_are_equal(mode: str) -> None:
    asked = chooser(mode)
    tell_all(asked, asked.ask(3))
    choices = list(itertools.chain.from_iterable(asked.ask(5) for _ in range(20)))
    names = {choice.architecture for choice in choices}
    assert len(names) == len(choices) == SIZE - 3
    graphs = {traced(choice.architecture).to_json() for choice in choices}
    assert len(graphs) == len(choices)
    assert asked.ask() == []


def test_equal_labels_in_any_order_give_equal_choices() -> None:
    choices = chooser("diverse").ask(8)
    asked = [chooser("both"), chooser("both")]
    tell_all(asked[0], choices)
    tell_all(asked[1], choices[::-1])
    assert asked[0].ask(6) == asked[1].ask(6)


def test_failed_architectures_are_not_asked_again_and_teach_nothing() -> None:
    asked = chooser()
    (first,) = asked.ask()
    asked.tell(first.architecture, None)
    assert asked.labels == 0
    assert first.architecture not in {choice.architecture for choice in asked.ask(SIZE)}


def test_labels_of_several_seeds_are_averaged() -> None:
    twice, once = chooser(), chooser()
    choices = chooser("diverse").ask(4)
    tell_all(once, choices)
    for choice in choices:
        for noise in (-0.1, 0.1):
            twice.tell(choice.architecture, value_of(choice.architecture) + noise, 1.0)
    assert [c.architecture for c in twice.ask(3)] == [c.architecture for c in once.ask(3)]


def test_the_lowest_cost_is_the_best() -> None:
    asked = chooser("best", name=SetName("latency"))
    tell_all(asked, chooser("diverse").ask(4))
    (choice,) = asked.ask()
    values = [value_of(SPACE.architecture({"number": number})) for number in range(SIZE)]
    assert value_of(choice.architecture) < np.quantile(values, 0.2)


def test_the_default_model_predicts_unless_another_is_given() -> None:
    asked = Chooser(candidates(20), "best")
    tell_all(asked, chooser("diverse").ask(6))
    (choice,) = asked.ask()
    assert choice.mean == pytest.approx(value_of(choice.architecture), abs=0.1)


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match="--choose 'worst': write one of diverse, best, both"):
        chooser("worst")
    with pytest.raises(ConfigError, match="nan is no label"):
        chooser().tell(SPACE.architecture({"number": 1}), float("nan"))
