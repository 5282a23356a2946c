"""The shipped files fit each other, Ray and the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray.util.metrics
import yaml
from click.testing import CliRunner
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts import scripts

from orchestrator.campaign import telemetry
from orchestrator.campaign.progress import CampaignProgress, CampaignState
from orchestrator.store.committer_process import Drained
from tests.support.cluster_queries import alerts, grouped, metrics, panels, selected
from workers.execution import actor
from workers.messages.label import Outcome

CLUSTER = Path(__file__).parents[2] / "cluster"
_OF_RAY = {"ray_node_mem_used", "ray_node_mem_total", "ray_node_cpu_utilization"}
_GIVEN = {"le", "ip"}  # labels that Prometheus and Ray add


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Labels of all that a campaign exports, by the names that Prometheus gives the metrics."""
    found: dict[str, set[str]] = {}

    def recorder(*suffixes: str) -> Any:
        class Recorder:
            def __init__(self, name: str, *rest: Any) -> None:
                self.name, self.keys = f"ray_{name}", set(rest[-1]) if isinstance(rest[-1], tuple) else set()

            def set_default_tags(self, tags: dict[str, str]) -> None:
                assert set(tags) <= self.keys

            def told(self, value: float, tags: dict[str, str] | None = None) -> None:
                assert set(tags or ()) <= self.keys
                found.update({self.name + suffix: self.keys for suffix in suffixes})

            inc = set = observe = told

        return Recorder

    kinds = {"Counter": recorder(""), "Gauge": recorder(""), "Histogram": recorder("_bucket", "_sum", "_count")}
    for name, kind in kinds.items():
        monkeypatch.setattr(telemetry, name, kind)
        monkeypatch.setattr(ray.util.metrics, name, kind)
    campaign = telemetry.CampaignMetrics("seg", "nasbench201")
    campaign.observe(CampaignProgress(CampaignState.RUNNING, 1, 1, 1, 1, 1, 1, dict.fromkeys(Outcome, 1), 0.5))
    campaign.committed(Drained(1, (0.1,), 1))
    telemetry.GenerationMetrics().observe(1, 0.5)
    actor._phase_seconds("seg", "nasbench201").observe(1.0, {"phase": "train"})
    return found


def test_queries_use_what_the_code_exports(exported: dict[str, set[str]]) -> None:
    asked = panels() | alerts()
    assert len(asked) == len(panels()) + len(alerts()) >= 15
    for title, query in asked.items():
        ours = metrics(query) - _OF_RAY
        assert metrics(query), title
        assert ours <= exported.keys(), title
        assert all(grouped(query) <= exported[name] | _GIVEN for name in ours), title
        assert all(label in exported[name] for name, label in selected(query)), title
    used = {name for query in panels().values() for name in metrics(query)}
    families = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in exported}
    assert all(any(name.startswith(family) for name in used) for family in families)  # all that is exported is shown


def test_metrics_of_nodes_are_called_so_by_ray() -> None:
    from ray.dashboard.modules.reporter import reporter_agent

    assert {f"ray_{name}" for name in reporter_agent.METRICS_GAUGES} >= _OF_RAY


@pytest.mark.parametrize("name", ["cluster.yaml", "aws.yaml"])
def test_ray_takes_the_cluster_files(name: str) -> None:
    config = yaml.safe_load((CLUSTER / name).read_text())
    validate_config(prepare_config(dict(config)))
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("RAY_AUTH_MODE=token" in command for command in config["setup_commands"])
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]
    for starts in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        assert "unset OMP_NUM_THREADS;" in starts[-1]


def test_pods_have_the_token_and_the_port_that_is_scraped() -> None:
    spec = yaml.safe_load((CLUSTER / "kuberay.yaml").read_text())["spec"]
    assert spec["authOptions"] == {"mode": "token"}
    head, (worker,) = spec["headGroupSpec"], spec["workerGroupSpecs"]
    assert head["rayStartParams"]["dashboard-host"] == "127.0.0.1"
    pods = [group["template"]["spec"] for group in (head, worker)]
    assert {group["rayStartParams"]["metrics-export-port"] for group in (head, worker)} == {"8090"}
    assert len({pod["containers"][0]["image"] for pod in pods}) == 1
    assert pods[0]["volumes"] == pods[1]["volumes"]


def test_submit_hands_the_arguments_on(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(scripts, "rsync", lambda *_, **__: None)
    monkeypatch.setattr(scripts, "exec_cluster", lambda *_, cmd, **__: ran.append(cmd))
    files = [str(CLUSTER / "cluster.yaml"), str(CLUSTER / "submit.py")]
    ended = CliRunner().invoke(scripts.submit, [*files, "--", "label", "--task", "seg", "--num", "64"])
    assert ended.exit_code == 0, ended.output
    assert ran == ["python ~/submit.py label --task seg --num 64"]
