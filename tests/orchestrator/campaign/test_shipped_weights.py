"""Shared weights and heads that come with the package."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.plan import plan_campaign
from orchestrator.campaign.preparation import add_shipped, missing_artifacts
from workers.errors import ArtifactError
from workers.messages.label import LabelRequest
from workers.supernet import shipped

TASKS = sorted({path.name.split("-")[2] for path in shipped.FOLDER.glob("head-*")})


def _request(task: str, store: Path, **fields: object) -> LabelRequest:
    return plan_campaign(CampaignConfig.checked(task=task, num=1, store=str(store), **fields)).requests[0]


@pytest.mark.parametrize("task", TASKS)
def test_the_default_label_of_a_task_needs_no_preparation(task: str, tmp_path: Path) -> None:
    request, location = _request(task, tmp_path), str(tmp_path / "_artifacts")
    assert len(add_shipped(location, request)) == 2, "the recipe has changed: make the weights of the package again"
    assert missing_artifacts(location, request) == []
    assert add_shipped(location, request) == []  # those that are there stay


@pytest.mark.parametrize(
    "fields", [{"data": "shapes:seed=7"}, {"set": {"supernet": {"steps": 1400}}}, {"fidelity": "full"}]
)
def test_other_data_and_recipes_do_not_use_them(fields: dict[str, object], tmp_path: Path) -> None:
    assert add_shipped(str(tmp_path / "_artifacts"), _request("seg", tmp_path, **fields)) == []


def test_files_that_were_changed_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(shipped.FOLDER, tmp_path / "shipped")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "shipped")
    weights = next((tmp_path / "shipped").glob("head-*-seg-*/weights.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ArtifactError, match="prepare --without-shipped") as caught:
        add_shipped(str(tmp_path / "_artifacts"), _request("seg", tmp_path))
    assert "\n" not in str(caught.value)
