"""The set-up of a campaign on Ray."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.driver import evaluator_options, scaling_policy
from orchestrator.campaign.scaling import ClusterWorkers, FixedWorkers, ScalingPolicy
from tests.support.fake_evaluator import request
from workers.messages.evaluator_options import EvaluatorOptions


@pytest.mark.parametrize(
    ("workers", "capacity", "address", "policy"),
    [
        (3, 8, None, FixedWorkers(3)),
        (3, 8, "auto", FixedWorkers(3)),
        (None, 8, None, FixedWorkers(8)),
        (None, 8, "auto", ClusterWorkers()),
    ],
)
def test_workers_follow_a_cluster_unless_their_number_is_given(
    workers: int | None, capacity: int, address: str | None, policy: ScalingPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    assert scaling_policy(workers, capacity) == policy


def test_evaluators_get_the_locations_in_the_store(tmp_path: Path) -> None:
    full = request(0)
    requests, store = [full, replace(full, fidelity="shared"), request(1)], str(tmp_path / "store")
    config = CampaignConfig.checked(task="seg", store=store, save_images=2, latency="cpu")
    assert evaluator_options(config, requests) == EvaluatorOptions(
        fidelities=("full", "shared"),
        artifacts_uri=f"{store}/_artifacts",
        checkpoints_uri=f"{store}/_checkpoints",
        weights_uri=f"{store}/_weights",
        images_folder=f"{store}/_images",
        save_images=2,
        latency="cpu",
    )
    without_images = CampaignConfig.checked(task="seg", store=store)
    assert evaluator_options(without_images, requests).images_folder is None
