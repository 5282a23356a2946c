"""The set-up of a campaign on Ray."""

from __future__ import annotations

import pytest

from orchestrator.campaign.driver import scaling_policy
from orchestrator.campaign.scaling import ClusterWorkers, FixedWorkers, ScalingPolicy


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
