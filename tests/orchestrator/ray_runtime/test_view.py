"""The summary of the Ray cluster in `status`."""

from __future__ import annotations

import subprocess
import sys

import pytest
import ray

from orchestrator.errors import ConfigError
from orchestrator.ray_runtime.session import ray_session
from orchestrator.ray_runtime.view import cluster_summary

PROGRAM = "from orchestrator.ray_runtime.view import cluster_summary; print(cluster_summary())"


class Idle:
    def ready(self) -> bool:
        return True


@pytest.mark.usefixtures("ray_session")
def test_a_running_cluster_is_summarised() -> None:
    before = cluster_summary()
    worker = ray.remote(Idle).options(name="label-seg-fake-7", num_cpus=1).remote()
    ray.get(worker.ready.remote())
    now = cluster_summary()
    ray.kill(worker)
    assert now["nodes"] == before["nodes"] == 1
    assert now["label_workers"] == before["label_workers"] + 1
    assert now["cpus"].endswith("of 4 in use")


@pytest.mark.parametrize("address", ["nonsense://here", "127.0.0.1:1"])
def test_an_unreachable_cluster_is_a_problem_and_no_error(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    process = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith(f"{{'problem': 'RAY_ADDRESS={address}: ")


def test_a_session_fails_fast_if_the_cluster_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr("ray.is_initialized", lambda: False)  # though other tests of this process may use it
    with pytest.raises(ConfigError, match=r"RAY_ADDRESS=127.0.0.1:1 cannot be used .*refused.*: start the cluster"):
        ray_session().__enter__()
