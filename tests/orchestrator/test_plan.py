"""What a campaign is going to make, before any worker starts."""

from __future__ import annotations

from orchestrator.config import CampaignConfig
from orchestrator.plan import plan_campaign


def _plan(**fields: object):
    return plan_campaign(CampaignConfig.checked(task="seg", num=2, audit=2, **fields))


def test_an_audit_of_proxies_is_made_by_the_recipe_they_were_given() -> None:
    plan = _plan(fidelity="proxy", set={"steps": 120, "body": {"cells": 2}})
    assert [r.fidelity for r in plan.audit] == ["full", "full"]
    assert [r.recipe for r in plan.audit] == [r.recipe for r in plan.requests]
    assert plan.audit[0].recipe.steps == 120


def test_an_audit_of_a_fine_tune_is_made_by_the_recipe_it_stands_in_for() -> None:
    plan = _plan(fidelity="shared", set={"steps": 120, "head": {"width": 8}})
    full, shared = plan.audit[0].recipe, plan.requests[0].recipe
    assert shared.steps == 120
    assert full.steps > 120  # a budget of the fine-tune is none of the full label's
    assert full.head == shared.head == {"width": 8}
