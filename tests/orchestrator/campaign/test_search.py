"""Searches through campaigns, without training."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.in_process import InProcessExecutor
from orchestrator.campaign.progress import CampaignProgress
from orchestrator.campaign.run import run_campaign
from orchestrator.campaign.scaling import FixedWorkers
from orchestrator.campaign.search import Search, SearchEnd, SearchRun
from orchestrator.campaign.search_config import SearchConfig
from orchestrator.campaign.search_labels import SearchLabels
from orchestrator.campaign.search_plan import SearchPlan, question_of
from orchestrator.campaign.search_summary import agreement, summarise_search
from orchestrator.errors import ConfigError, StoreError
from orchestrator.search.profile import profile_space
from orchestrator.search.record import MemoryRecords, SearchRecord, open_records
from orchestrator.search.study import Study
from orchestrator.store.memory import MemoryLabelStore
from tests.orchestrator.search.test_study import FLOPS, study
from tests.support.numbered_space import RECIPE, SPACE, evaluate, template
from workers.errors import DivergedFailure
from workers.messages.architecture import Architecture
from workers.messages.label import AttemptReport, Evaluator, LabelJob, LabelRequest, Measurement
from workers.spaces import base

REFERENCE = max(
    (SPACE.architecture({"number": n}) for n in range(60)),
    key=lambda a: evaluate(LabelJob(replace(template(), architecture=a), "c")).flops,
)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(base._REGISTRY, SPACE.name, SPACE)


class _KilledError(BaseException):
    """Simulates a kill of the process."""


class _World:
    """A store and records that outlive a search. kill: called before each commit; raises to end the process."""

    def __init__(self, evaluator: Evaluator = evaluate) -> None:
        self.store, self.records, self.made = MemoryLabelStore(), MemoryRecords(), list[LabelRequest]()
        self.kill: Callable[[], None] = lambda: None
        self.notes: list[str] = []
        self.measures_latency = False
        self._evaluator = evaluator

    def put(self, report: AttemptReport) -> None:
        self.kill()
        self.store.commit([report])
        self.made.append(report.job.request)
        if self.measures_latency:
            request = replace(report.job.request, task="latency", data="cpu:bench", recipe=_MILLISECONDS)
            took = Measurement(_milliseconds(request.architecture), "ms", {}, 1.0, 1.0, {})
            self.store.commit([replace(report, job=replace(report.job, request=request), measurement=took)])

    def make(self, todo: Sequence[LabelRequest]) -> CampaignProgress:
        controller = CampaignController(todo, f"c{len(self.made)}", FixedWorkers(2))
        return run_campaign(controller, InProcessExecutor(self._evaluator, self), record=self.put)

    def search(self, **fields: object) -> tuple[SearchEnd, Study, SearchLabels, SearchConfig]:
        config = SearchConfig.checked(task="faking", space=SPACE.name, **({"max_flops": "50%", "verify": 3} | fields))
        plan, found = _plan(), study(config.strategy)
        if self.measures_latency:
            plan = replace(plan, latency_recipe=_MILLISECONDS.hash)
        labels = SearchLabels(config, plan, self.store)
        question = question_of(config, plan, REFERENCE)
        known = tuple(a.id for a in labels.architectures())
        record = self.records.load(SearchRecord(question, (), 4).id) or SearchRecord(question, known, 4)
        run = SearchRun(self.make, self.notes.append, clock=lambda: float(len(self.made)))
        end = Search(config, plan, found, REFERENCE, labels, self.records, record, run).run()
        return end, found, labels, config


_MILLISECONDS = RECIPE.model_copy(update={"name": "latency"})


def _milliseconds(architecture: Architecture) -> float:
    """Return the latency of a network, which is not the order of its FLOPs."""
    return 1.0 + architecture.values["number"] % 7


def _plan() -> SearchPlan:
    longer = RECIPE.model_copy(update={"name": "longer"})
    return SearchPlan({"faking": template()}, {"faking": replace(template(), recipe=longer)})


def test_a_search_labels_the_reference_its_budget_and_the_best() -> None:
    world = _World()
    end, found, labels, _ = world.search(budget="12 labels")
    searched = [r for r in world.made if r.recipe.name == "fake"]
    assert searched[0].architecture == REFERENCE
    assert (len(searched), end.record.chosen, len(end.record.rounds), end.problem) == (13, 12, 3, None)
    verified = {(r.architecture, r.seed) for r in world.made if r.recipe.name == "longer"}
    assert verified == {(a, seed) for a in (REFERENCE, *end.verified) for seed in (0, 1)}
    assert len(end.verified) == 3
    best = max(row.value for row in found.found() if row.within)
    assert best in [labels.values(a)["faking"] for a in end.verified]  # type: ignore[index]


def test_the_same_question_again_makes_nothing_and_a_larger_budget_goes_on() -> None:
    world, whole = _World(), _World()
    world.search(budget="8 labels")
    made = len(world.made)
    end, *_ = world.search(budget="8 labels")
    assert (len(world.made), end.problem) == (made, None)
    world.search(budget="16 labels")
    whole.search(budget="16 labels")
    searched = [[r.key for r in w.made if r.recipe.name == "fake"] for w in (world, whole)]
    assert searched[0] == searched[1]


def test_more_networks_are_verified_if_more_are_wanted_later() -> None:
    world = _World()
    first, *_ = world.search(budget="12 labels", verify=2)
    again, *_ = world.search(budget="12 labels", verify=4)
    assert (len(first.verified), len(again.verified)) == (2, 4)


def test_another_question_reuses_all_labels() -> None:
    world = _World()
    world.search(budget="12 labels")
    made = {r.key for r in world.made}
    end, found, *_ = world.search(budget="4 labels", strategy="random")
    assert len(end.record.known) == 13
    assert len([r for r in world.made if r.key not in made and r.recipe.name == "fake"]) == 4
    assert len(found.found()) == 17


def test_a_search_that_is_killed_at_any_moment_ends_with_the_same_labels() -> None:
    whole = _World()
    undisturbed, front, *_ = whole.search(budget="16 labels")
    rng = random.Random(0)
    world, kills = _World(), 0
    while True:
        left = rng.randrange(1, 6)

        def kill() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise _KilledError

        world.kill = kill if kills < 20 else lambda: None
        try:
            end, found, *_ = world.search(budget="16 labels")
        except _KilledError:
            kills += 1
            continue
        break
    assert kills >= 5
    assert world.store.keys() == whole.store.keys()
    assert end.record.rounds == undisturbed.record.rounds
    assert end.verified == undisturbed.verified
    assert [row.architecture for row in found.front()] == [row.architecture for row in front.front()]


def test_a_budget_of_time_keeps_some_for_the_verification() -> None:
    world = _World()  # its clock counts labels
    end, *_ = world.search(budget="30s", verify=3)
    assert 12 <= end.record.chosen <= 24
    assert end.record.seconds == len(world.made)


def test_a_share_of_the_references_latency_is_a_limit() -> None:
    world = _World()
    world.measures_latency = True
    end, found, labels, _ = world.search(budget="12 labels", max_flops="", max_latency="70%", verify=0)
    wanted = 0.7 * _milliseconds(REFERENCE)
    assert end.problem is None
    assert world.notes[0] == f"the reference takes {_milliseconds(REFERENCE):.3g} ms; at most {wanted:.3g} ms wanted"
    within = {row.architecture: row.within for row in found.found()}
    assert set(within.values()) == {False, True}
    assert all((_milliseconds(a) <= wanted) == inside for a, inside in within.items())
    assert all(labels.latency(a) == _milliseconds(a) for a in within)


def test_a_reference_that_fails_is_an_error_that_names_it() -> None:
    def failing(job: LabelJob) -> Measurement:
        raise DivergedFailure("as asked")

    with pytest.raises(ConfigError, match=r"could not be labelled.*--reference"):
        _World(failing).search(budget="4 labels")


def test_networks_that_fail_are_passed_over() -> None:
    def failing(job: LabelJob) -> Measurement:
        if job.request.architecture.values["number"] % 3 == 0 and job.request.architecture != REFERENCE:
            raise DivergedFailure("as asked")
        return evaluate(job)

    world = _World(failing)
    end, found, *_ = world.search(budget="12 labels", verify=2)
    assert end.problem is None
    failed = {r.architecture for r in world.made} - {row.architecture for row in found.found()}
    assert failed
    assert all(a.values["number"] % 3 == 0 for a in failed)


def test_the_summary_compares_what_was_verified_with_the_reference() -> None:
    world = _World()
    end, found, labels, config = world.search(budget="12 labels")
    profile = profile_space(found.networks, found.sample(), found.settings.limits)
    document = summarise_search(config, found, REFERENCE, labels, profile, end)
    assert document["winner"]["genotype"] == end.verified[0].genotype
    assert document["winner"]["within"]
    assert document["winner"]["flops"] <= FLOPS[30]
    assert [row["flops"] for row in document["front"]] == sorted(row["flops"] for row in document["front"])
    row = document["verified"][0]["verified"]["faking"]
    assert row["difference"] == pytest.approx(row["value"] - document["reference"]["verified"]["faking"])
    assert row["verdict"] == "worse"  # values grow with FLOPs, and seeds agree


def test_records_are_kept_in_a_folder_and_damaged_ones_are_refused(tmp_path: object) -> None:
    records = open_records(f"{tmp_path}/_searches")
    world = _World()
    end, *_ = world.search(budget="8 labels")
    assert records.load(end.record.id) is None
    records.save(end.record)
    assert records.load(end.record.id) == end.record
    path = next((tmp_path / "_searches").glob("*.json"))  # type: ignore[operator]
    path.write_text(path.read_text()[:100])
    with pytest.raises(StoreError, match="remove this file"):
        records.load(end.record.id)


def test_labels_of_the_rounds_are_compared_with_the_verified_ones() -> None:
    rows = [{"values": {"det": cheap}, "verified": {"det": {"value": 5.0 - cheap}}} for cheap in (1.0, 2.0, 3.0, 4.0)]
    reference = {"values": {"det": 0.5}, "verified": {"det": 9.0}}
    assert agreement(rows, reference, "det") == pytest.approx(-1.0)
    assert agreement(rows, None, "det") is None  # four are too few
    assert agreement(rows, {**reference, "verified": {}}, "det") is None
    assert agreement([*rows, {"values": {"det": 6}, "verified": {}}], reference, "det") == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("fidelity", "fields"),
    [("full", {"steps": 3, "head": {"width": 8, "norm": "gn"}}), ("shared", {"head": {"norm": "gn"}})],
)
def test_a_verification_by_the_recipe_of_the_rounds_has_their_fields(fidelity: str, fields: dict[str, object]) -> None:
    config = SearchConfig(
        task="seg",
        fidelity=fidelity,
        set={"steps": 3, "head": {"width": 8}},
        verify_set={"head": {"norm": "gn"}},
    )
    assert config.verification("seg").set == fields
