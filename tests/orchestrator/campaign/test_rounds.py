"""Campaigns that choose in rounds, without training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.events import Drain
from orchestrator.campaign.in_process import InProcessExecutor
from orchestrator.campaign.progress import CampaignProgress
from orchestrator.campaign.rounds import RoundsResult, run_rounds
from orchestrator.campaign.run import run_campaign
from orchestrator.campaign.scaling import FixedWorkers
from orchestrator.search.chooser import Chooser
from orchestrator.store.memory import MemoryLabelStore
from tests.support.numbered_space import SPACE, FlopsSurrogate, candidates, evaluate, template
from workers.errors import DivergedFailure
from workers.messages.label import AttemptReport, Evaluator, LabelJob, LabelRequest, Measurement, Outcome
from workers.spaces import base


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(base._REGISTRY, SPACE.name, SPACE)


class _Sink:
    """Commits every report at once."""

    def __init__(self, store: MemoryLabelStore) -> None:
        self._store = store

    def put(self, report: AttemptReport) -> None:
        self._store.commit([report])


class _Campaign:
    """Rounds on a store in memory. batches: the requests of each round."""

    def __init__(self, evaluator: Evaluator = evaluate, store: MemoryLabelStore | None = None) -> None:
        self.store, self.batches = store or MemoryLabelStore(), list[list[LabelRequest]]()
        self._evaluator = evaluator

    def make(self, todo: Sequence[LabelRequest]) -> CampaignProgress:
        self.batches.append(list(todo))
        sink = _Sink(self.store)
        controller = CampaignController(todo, f"c{len(self.batches)}", FixedWorkers(2))
        return run_campaign(controller, InProcessExecutor(self._evaluator, sink), record=sink.put)

    def run(self, num: int, **fields: object) -> RoundsResult:
        config = CampaignConfig.checked(task="faking", num=num, choose="both", **fields)
        chooser = Chooser(candidates(), "both", FlopsSurrogate())
        return run_rounds(config, template(), self.store, chooser, 4, self.make)

    @property
    def asked(self) -> list[str]:
        return [request.architecture.id for batch in self.batches for request in batch]


def test_rounds_end_when_enough_is_labelled() -> None:
    campaign = _Campaign()
    result = campaign.run(10)
    assert [len(batch) for batch in campaign.batches] == [4, 4, 2]
    assert (len(campaign.store.keys()), result.problem) == (10, None)
    assert {request.key for request in result.requests} == campaign.store.keys()
    assert len(result.choices) == 10


def test_a_rerun_adds_nothing_and_a_longer_one_continues_like_one_run() -> None:
    campaign, whole = _Campaign(), _Campaign()
    campaign.run(8)
    again = campaign.run(8)
    assert (len(campaign.batches), again.progress, again.problem) == (2, None, None)
    campaign.run(16)
    whole.run(16)
    assert campaign.asked == whole.asked
    assert len(set(whole.asked)) == 16


def test_the_reason_is_stored_with_the_attempt() -> None:
    campaign = _Campaign()
    result = campaign.run(8)
    messages = dict(
        zip(*(campaign.store.attempts()[name].to_pylist() for name in ("architecture", "message")), strict=True)
    )
    assert messages == {choice.architecture.id: choice.note for choice in result.choices}
    assert sum(message.startswith("best: ") for message in messages.values()) == 2  # of the second round


def test_labels_that_a_sample_gave_count() -> None:
    store = MemoryLabelStore()
    for number in range(6):
        request = replace(template(), architecture=SPACE.architecture({"number": number}))
        job = LabelJob(request, "earlier")
        store.commit([AttemptReport(job, Outcome.OK, "", "node", 1.7e9 + number, 1.0, evaluate(job))])
    campaign = _Campaign(store=store)
    campaign.run(8)
    assert [len(batch) for batch in campaign.batches] == [2]
    assert campaign.batches[0][0].reason.startswith("best: ")  # by predictions from the six


def test_all_seeds_of_a_label_are_made_also_those_that_an_earlier_run_left_out() -> None:
    campaign = _Campaign()
    campaign.run(3)
    result = campaign.run(5, repeat=2)
    assert [request.seed for request in campaign.batches[1]] == [1, 1, 1, 0, 1, 0, 1]
    assert len(result.requests) == len(campaign.store.keys()) == 10


def _failing(when: Callable[[int], bool]) -> Evaluator:
    def evaluator(job: LabelJob) -> Measurement:
        if when(job.request.architecture.values["number"]):
            raise DivergedFailure("as asked")
        return evaluate(job)

    return evaluator


def test_others_are_chosen_in_place_of_failures() -> None:
    campaign = _Campaign(_failing(lambda number: number % 3 == 0))
    result = campaign.run(8)
    assert (len(campaign.store.keys()), result.problem) == (8, None)
    assert len(campaign.asked) == len(set(campaign.asked)) > 8


def test_rounds_without_any_label_end() -> None:
    result = _Campaign(_failing(lambda number: True)).run(20)
    assert result.problem == "3 rounds in a row gave no label: see `orchestrator status`"
    assert len(result.requests) == 12


def test_no_more_candidates() -> None:
    result = _Campaign().run(70)
    assert result.problem is not None
    assert "10 fewer than --num 70 are labelled: raise --pool" in result.problem
    assert len(result.requests) == 60


def test_an_interrupt_ends_the_rounds() -> None:
    class Interrupted(_Campaign):
        def make(self, todo: Sequence[LabelRequest]) -> CampaignProgress:
            progress = super().make(todo)
            controller = CampaignController(todo, "c", FixedWorkers(1))
            controller.handle(Drain())
            return replace(progress, interrupted=controller.progress.interrupted)

    campaign = Interrupted()
    assert campaign.run(12).problem == "interrupted"
    assert len(campaign.batches) == 1
