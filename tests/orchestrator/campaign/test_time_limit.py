"""Attempts that take far longer than labels do are not waited for."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.failure import FailurePolicy
from orchestrator.campaign.run import run_campaign
from orchestrator.campaign.scaling import FixedWorkers
from orchestrator.campaign.simulated import Behaviour, SimulatedClock, SimulatedExecutor
from orchestrator.campaign.time_limit import TimeLimits
from tests.support.fake_evaluator import RECIPE, request
from workers.messages.label import AttemptReport, LabelJob, Outcome

PATIENT = RECIPE.model_copy(update={"time_limit_s": 1800.0})


def job(number: int = 0, attempt: int = 1, fidelity: str = "full") -> LabelJob:
    return LabelJob(replace(request(number, recipe=PATIENT), fidelity=fidelity), "c", attempt)


def test_five_times_what_nine_in_ten_took_and_twice_as_long_again() -> None:
    limits = TimeLimits()
    for seconds in (10.0, 500.0, *[20.0] * 5):
        limits.learn(job(), seconds)
    assert limits.of(job()) == 1800.0  # too few yet
    for _ in range(3):
        limits.learn(job(), 20.0)
    assert limits.of(job()) == 100.0
    assert limits.of(job(attempt=2)) == 200.0
    assert limits.of(job(attempt=9)) == 1800.0
    assert limits.of(job(fidelity="shared")) == 1800.0  # its labels take another time
    for _ in range(200):
        limits.learn(job(), 1.0)
    assert limits.of(job()) == 60.0


def test_a_worker_that_falls_silent_costs_minutes_not_the_recipes_limit() -> None:
    """As on a node that is cut off: the call neither ends nor fails."""
    cut = job(15).request.key

    def script(wanted: LabelJob) -> Behaviour:
        silent = wanted.request.key == cut and wanted.attempt == 1
        return Behaviour(seconds=1e9 if silent else 20.0)

    clock, records = SimulatedClock(0.0), list[AttemptReport]()
    requests = [job(n).request for n in range(24)]
    controller = CampaignController(requests, "c", FixedWorkers(2), FailurePolicy())
    end = run_campaign(controller, SimulatedExecutor(script, clock), record=records.append, clock=clock)
    assert (end.done, end.failed) == (24, 0)
    (lost,) = records
    assert lost.outcome is Outcome.TIMEOUT
    assert "usual time limit of 100 s" in lost.message
    assert clock() < 500
