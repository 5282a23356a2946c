"""Searches in Python: ask and tell, without training."""

from __future__ import annotations

import math
import random

import pytest

from orchestrator.errors import ConfigError
from orchestrator.search.candidates import TracedNetworks
from orchestrator.search.chooser import SetName
from orchestrator.search.holding import Held
from orchestrator.search.networks import StudyNetworks
from orchestrator.search.study import Strategy, Study, StudySettings
from orchestrator.search.study_predictor import Objective
from orchestrator.search.surrogate import AdaptedModel
from tests.support.numbered_space import SPACE, FlopsSurrogate, traced, value_of
from workers.messages.architecture import Architecture

FLOPS = sorted(float(traced(SPACE.architecture({"number": n})).flops) for n in range(60))
HALF = FLOPS[30]


def study(
    strategy: Strategy = "predictor", tasks: tuple[str, ...] = ("faking",), limit: float = HALF, seed: int = 0
) -> Study:
    """Return a study of the numbered networks, of which half are within the limit."""
    networks = StudyNetworks({task: TracedNetworks(traced) for task in tasks})
    objectives = {task: Objective(SetName(task), FlopsSurrogate()) for task in tasks}
    settings = StudySettings(
        {"flops": limit * len(tasks)}, strategy=strategy, pool=40, seed=seed, population=8, generations=3
    )
    return Study(Held(SPACE), networks, objectives, settings)


def label(found: Study, count: int, batch: int = 4) -> list[Architecture]:
    """Ask and tell until `count` architectures are labelled; return them in their order."""
    labelled: list[Architecture] = []
    while len(labelled) < count and (choices := found.ask(min(batch, count - len(labelled)))):
        for choice in choices:
            found.tell(choice.architecture, dict.fromkeys(found.tasks, value_of(choice.architecture)))
            labelled.append(choice.architecture)
    return labelled


def test_only_networks_within_the_limits_are_asked_for_and_none_twice() -> None:
    asked = label(study(), 24)
    assert len(set(asked)) == 24
    assert all(float(traced(a).flops) <= HALF for a in asked)


def test_a_space_runs_out_without_repeating() -> None:
    limit = FLOPS[5]
    found = study(limit=limit)
    assert len(label(found, 100)) == len({row.architecture for row in found.found()}) >= 5
    assert found.ask(4) == []


def test_equal_labels_give_equal_choices() -> None:
    assert label(study(), 20) == label(study(), 20)
    assert label(study(), 20) != label(study(seed=1), 20)


def test_the_front_grows_faster_than_by_a_random_sample() -> None:
    best = max(f for f in FLOPS if f <= HALF)
    found, drawn = study(), study("random")
    label(found, 14)
    label(drawn, 14)
    assert found.front()[-1].costs["flops"] == best  # values grow with FLOPs, so the largest within the limit is best
    assert drawn.front()[-1].value <= found.front()[-1].value
    assert [row.value for row in found.front()] == sorted(row.value for row in found.front())


def test_a_lucky_label_does_not_replace_the_expected_front() -> None:
    found = study()
    label(found, 20)
    rows = [row for row in found.found() if row.within]
    cheapest = min(rows, key=lambda row: row.costs["flops"])
    found.tell(cheapest.architecture, {"faking": max(row.value for row in rows) * 1.02})
    assert [row.architecture for row in found.front()] == [cheapest.architecture]
    expected = found.expected_front()
    assert len(expected) > 1
    assert [value for _, value in expected] == sorted(value for _, value in expected)


def test_what_exceeds_the_limit_teaches_but_is_not_on_the_front() -> None:
    found = study()
    large = next(a for n in range(60) if traced(a := SPACE.architecture({"number": n})).flops > HALF)
    found.tell(large, {"faking": 1.0})
    assert found.found()[0].architecture == large
    assert not found.found()[0].within
    assert found.front() == found.expected_front() == []


def test_failed_labels_are_not_asked_for_again() -> None:
    found = study()
    first = [choice.architecture for choice in found.ask(4)]
    for architecture in first:
        found.tell(architecture, None)
    assert not set(first) & set(label(found, 100))


def test_pending_ones_are_not_asked_for_again() -> None:
    found = study()
    asked = [choice.architecture for _ in range(3) for choice in found.ask(4)]
    assert len(set(asked)) == 12


@pytest.mark.parametrize("values", [{}, {"seg": 0.5}, {"faking": math.nan}])
def test_a_label_that_is_missing_or_not_finite_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="needs a finite label of task faking"):
        study().tell(SPACE.architecture({"number": 0}), values)


def test_latency_is_learned_and_limits_what_is_asked() -> None:
    found = study(limit=FLOPS[-1])
    found.limit("latency", 5.0)
    for choice in found.ask(12):
        cost = choice.flops / FLOPS[-1] * 10  # milliseconds
        found.tell(choice.architecture, {"faking": value_of(choice.architecture)}, latency=cost)
    assert {row.within for row in found.found()} == {True, False}
    assert all(row.costs["latency"] <= 5.0 for row in found.front())
    asked = found.ask(8)
    assert sum(choice.flops / FLOPS[-1] * 10 <= 6.0 for choice in asked) >= 6


def test_several_tasks_are_weighed_in_their_deviations() -> None:
    found = study(tasks=("faking", "posing"))
    rng = random.Random(0)
    for choice in found.ask(12):
        value = value_of(choice.architecture)
        found.tell(choice.architecture, {"faking": value, "posing": 100 * value + rng.random() * 1e-6})
    rows = found.found()
    order = sorted(rows, key=lambda row: -row.values["faking"])
    assert [row.architecture for row in rows] == [row.architecture for row in order]
    assert rows[0].costs["flops"] == 2 * float(traced(rows[0].architecture).flops)
    assert abs(sum(row.value for row in rows)) < 1.0  # in deviations, about the mean
    assert len(found.ask(4)) == 4


def test_smoothed_values_rank_labelled_networks() -> None:
    found = study()
    labelled = label(found, 6)
    assert found.smoothed(labelled).tolist() == [value_of(a) for a in labelled]  # too few to predict
    label(found, 8)
    assert len(found.smoothed(labelled)) == 6


def test_the_model_without_source_tasks_works_too() -> None:
    networks = StudyNetworks({"faking": TracedNetworks(traced)})
    settings = StudySettings(pool=20, population=8, generations=1)
    found = Study(Held(SPACE), networks, {"faking": Objective(SetName("faking"), AdaptedModel())}, settings)
    label(found, 12)
    mean, deviation = found.predict([SPACE.architecture({"number": 7})])
    assert math.isfinite(mean[0])
    assert deviation[0] > 0
