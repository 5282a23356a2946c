"""A changed function of a declared space is noticed before its labels are mixed with older ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from orchestrator.campaign.stored_networks import check_function_unchanged
from orchestrator.errors import ConfigError
from orchestrator.store.memory import MemoryLabelStore
from tests.support.declared_space import BUILD, isolate_declarations, write_space
from workers.execution.evaluators import FidelityEvaluator
from workers.messages.evaluator_options import EvaluatorOptions
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Outcome
from workers.messages.recipe import Recipe
from workers.spaces import Space, get_space, open_space
from workers.spaces.opening import space_message

DATA = "shapes:train=8,held_out=4"
RECIPE = Recipe(name="tiny", task="seg", input_size=(32, 32), steps=1, ema=0, batch=4)


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    isolate_declarations(monkeypatch)


def requests(space: Space, fidelity: str) -> list[LabelRequest]:
    return [LabelRequest(a, "seg", DATA, "fingerprint", fidelity, RECIPE, 0) for a in list(space.sequence(0))[:3]]


def labelled(space: Space, fidelity: str) -> MemoryLabelStore:
    """A store with the label of one network, made as a worker makes it."""
    evaluator = FidelityEvaluator(EvaluatorOptions((fidelity,), space=space_message(space.name)))
    store = MemoryLabelStore()
    for request in requests(space, fidelity)[:1]:
        job = LabelJob(request, "c")
        store.commit([AttemptReport(job, Outcome.OK, "", "here", 0.0, 1.0, evaluator(job))])
    return store


def change_function(space: Space, source: str, monkeypatch: pytest.MonkeyPatch) -> Space:
    """The space in a new process, after its module was edited."""
    module = space.load().__module__  # type: ignore[attr-defined]
    Path(str(sys.modules[module].__file__)).write_text(source)
    monkeypatch.delitem(sys.modules, module)
    declaration = space.declaration  # type: ignore[attr-defined]
    monkeypatch.setitem(_registry(), space.name, type(space)(declaration))
    return get_space(space.name)


def _registry() -> dict[str, Space]:
    from workers.spaces import base

    return base._REGISTRY


@pytest.mark.parametrize("fidelity", ["full", "proxy"])
def test_a_changed_function_is_an_error(fidelity: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = open_space(str(write_space(tmp_path)))
    store, new = labelled(space, fidelity), requests(space, fidelity)[2]
    check_function_unchanged(store, new)
    reformatted = change_function(space, BUILD + "\n# a comment\n", monkeypatch)
    check_function_unchanged(store, new)
    change_function(reformatted, BUILD.replace("c_out = [], width", "c_out = [], 2 * width"), monkeypatch)
    with pytest.raises(ConfigError, match=r"builds another network for .* than the labelled one.*raise `version`"):
        check_function_unchanged(store, new)


def test_labels_of_other_versions_and_spaces_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = labelled(open_space(str(write_space(tmp_path))), "proxy")
    other = open_space(
        str(write_space(tmp_path, BUILD.replace("c_out = [], width", "c_out = [], 2 * width"), version=2))
    )
    check_function_unchanged(store, requests(other, "proxy")[0])
    check_function_unchanged(store, requests(get_space("nasbench201"), "proxy")[0])
