"""What `status` tells of the Ray cluster."""

from __future__ import annotations

import subprocess
import sys

import pytest
import ray

from orchestrator.errors import ConfigError
from orchestrator.ray_runtime.session import ray_session
from orchestrator.ray_runtime.view import cluster_now

ASK = "from orchestrator.ray_runtime.view import cluster_now; print(cluster_now())"


class Idle:
    def ready(self) -> bool:
        return True


@pytest.mark.usefixtures("ray_session")
def test_a_running_cluster_is_told() -> None:
    before = cluster_now()
    worker = ray.remote(Idle).options(name="label-seg-fake-7", num_cpus=1).remote()
    ray.get(worker.ready.remote())
    now = cluster_now()
    ray.kill(worker)
    assert now["nodes"] == before["nodes"] == 1
    assert now["label_workers"] == before["label_workers"] + 1
    assert now["cpus"].endswith("of 4 in use")


@pytest.mark.parametrize("address", ["nonsense://here", "127.0.0.1:1"])
def test_one_that_does_not_answer_is_a_problem_not_an_error(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    out = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, timeout=30)
    assert out.returncode == 0, out.stderr
    assert out.stdout.startswith(f"{{'problem': 'RAY_ADDRESS={address}: ")


def test_a_campaign_does_not_wait_for_a_cluster_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"RAY_ADDRESS=127.0.0.1:1 cannot be used .*refused.*: start the cluster"):
        ray_session().__enter__()
