"""Which labels of a store are of the set that is asked about."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.search.history import failed_before, labelled_architectures
from orchestrator.store.memory import MemoryLabelStore
from tests.support.numbered_space import SPACE, evaluate, template, value_of
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Outcome
from workers.spaces import base


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(base._REGISTRY, SPACE.name, SPACE)


def request(number: int, **fields: object) -> LabelRequest:
    return replace(template(), architecture=SPACE.architecture({"number": number}), **fields)  # type: ignore[arg-type]


def label(of: LabelRequest, started: float) -> AttemptReport:
    job = LabelJob(of, "c")
    return AttemptReport(job, Outcome.OK, "", "node", started, 1.0, evaluate(job))


def test_labels_of_the_same_set_are_found_the_oldest_first() -> None:
    store = MemoryLabelStore()
    others = [request(5, fidelity="shared"), request(6, fingerprint="other"), request(7, task="other")]
    others.append(request(8, recipe=template().recipe.model_copy(update={"steps": 7})))
    own = [request(3), request(1), request(3, seed=1)]
    store.commit([label(of, 1.7e9 + number) for number, of in enumerate([*others, *own])])
    found = labelled_architectures(store, template())
    assert [labelled.architecture.values["number"] for labelled in found] == [3, 1]
    assert [labelled.value for labelled in found] == [value_of(request(n).architecture) for n in (3, 1)]
    assert [labelled.seconds for labelled in found] == [1.0, 1.0]


def test_what_failed_permanently_is_known_by_its_key() -> None:
    failed = failed_before(template(), {request(4).key})
    assert failed(request(4).architecture)
    assert not failed(request(5).architecture)
