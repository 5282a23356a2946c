"""Reliabilities that were measured ahead of time."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.known_reliability import known_reliability
from orchestrator.campaign.plan import plan_campaign
from workers.messages.label import LabelRequest
from workers.tasks.base import task_names


def _request(store: Path, task: str, **fields: object) -> LabelRequest:
    return plan_campaign(CampaignConfig.checked(task=task, num=1, store=str(store), **fields)).requests[0]


@pytest.mark.parametrize("task", task_names())
def test_default_labels_of_each_task_were_measured(task: str, tmp_path: Path) -> None:
    found = known_reliability(_request(tmp_path, task))
    assert found is not None, "the recipe or the built-in data has changed: measure it again with --num 24 --repeat 2"
    assert found.task == task
    assert found.recipe.startswith(task)
    assert 0 < found.spearman < 1
    assert 0 < found.deviation < 0.1


@pytest.mark.parametrize(
    "fields", [{"data": "shapes:seed=7"}, {"set": {"steps": 40}}, {"fidelity": "full"}, {"space": "mobilenetv3"}]
)
def test_nothing_is_known_of_other_labels(fields: dict[str, object], tmp_path: Path) -> None:
    assert known_reliability(_request(tmp_path, "seg", **fields)) is None
