"""The files in cluster/ agree with each other, with Ray and with the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts import scripts

from orchestrator.campaign import telemetry
from orchestrator.campaign.progress import CampaignProgress, CampaignState
from orchestrator.store.committer_process import Drained
from tests.support.cluster_queries import alerts, group_labels, metric_names, panels, selector_labels
from workers import tally
from workers.execution import work_metrics
from workers.messages.label import Outcome

CLUSTER = Path(__file__).parents[2] / "cluster"
_RAY_METRICS = {"ray_node_mem_used", "ray_node_mem_total", "ray_node_cpu_utilization", "ray_node_gpus_utilization"}
_ADDED_LABELS = {"le", "ip", "GpuIndex"}  # by Prometheus and Ray


@pytest.fixture
def exported_labels(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """The labels of each metric that a campaign exports, by the name of the metric in Prometheus."""
    labels: dict[str, set[str]] = {}

    def recorder(*suffixes: str) -> Any:
        class Recorder:
            def __init__(self, name: str, *rest: Any) -> None:
                self.name, self.keys = f"ray_{name}", set(rest[-1]) if isinstance(rest[-1], tuple) else set()

            def set_default_tags(self, tags: dict[str, str]) -> None:
                assert set(tags) <= self.keys

            def record(self, value: float, tags: dict[str, str] | None = None) -> None:
                assert set(tags or ()) <= self.keys
                labels.update({self.name + suffix: self.keys for suffix in suffixes})

            inc = set = observe = record

        return Recorder

    kinds = {"Counter": recorder(""), "Gauge": recorder(""), "Histogram": recorder("_bucket", "_sum", "_count")}
    for name, kind in kinds.items():
        monkeypatch.setattr(telemetry, name, kind)
        monkeypatch.setattr(work_metrics, name, kind)
    campaign = telemetry.CampaignMetrics("seg", "nasbench201")
    campaign.observe(CampaignProgress(CampaignState.RUNNING, 1, 1, 1, 1, 1, 1, dict.fromkeys(Outcome, 1), 0.5))
    campaign.committed(Drained(1, (0.1,), 1))
    telemetry.GenerationMetrics().observe(1, 0.5)
    work = work_metrics.WorkMetrics("seg", "nasbench201")
    list(tally.count_waiting([1, 2]))
    tally.add_checkpoint()
    work.attempt_ended({"train": 1.0})
    return labels


def test_queries_use_exported_metrics_and_labels(exported_labels: dict[str, set[str]]) -> None:
    queries = panels() | alerts()
    assert len(queries) == len(panels()) + len(alerts()) >= 15
    for title, query in queries.items():
        ours = metric_names(query) - _RAY_METRICS
        assert metric_names(query), title
        assert ours <= exported_labels.keys(), title
        assert all(group_labels(query) <= exported_labels[name] | _ADDED_LABELS for name in ours), title
        assert all(label in exported_labels[name] for name, label in selector_labels(query)), title
    shown = {name for query in panels().values() for name in metric_names(query)}
    families = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in exported_labels}
    not_shown = {family for family in families if not any(name.startswith(family) for name in shown)}
    assert not not_shown  # by any panel of the dashboard


def test_ray_exports_the_node_metrics() -> None:
    from ray.dashboard.modules.reporter import reporter_agent

    assert {f"ray_{name}" for name in reporter_agent.METRICS_GAUGES} >= _RAY_METRICS


@pytest.mark.parametrize("name", ["cluster.yaml", "aws.yaml"])
def test_ray_accepts_the_cluster_files(name: str) -> None:
    config = yaml.safe_load((CLUSTER / name).read_text())
    validate_config(prepare_config(dict(config)))
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("RAY_AUTH_MODE=token" in command for command in config["setup_commands"])
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        assert "unset OMP_NUM_THREADS;" in commands[-1]


def test_pods_use_the_token_and_export_metrics() -> None:
    spec = yaml.safe_load((CLUSTER / "kuberay.yaml").read_text())["spec"]
    assert spec["authOptions"] == {"mode": "token"}
    head, (worker,) = spec["headGroupSpec"], spec["workerGroupSpecs"]
    assert head["rayStartParams"]["dashboard-host"] == "127.0.0.1"
    pods = [group["template"]["spec"] for group in (head, worker)]
    assert {group["rayStartParams"]["metrics-export-port"] for group in (head, worker)} == {"8090"}
    assert len({pod["containers"][0]["image"] for pod in pods}) == 1
    assert pods[0]["volumes"] == pods[1]["volumes"]


def test_ray_submit_passes_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[str] = []
    monkeypatch.setattr(scripts, "rsync", lambda *_, **__: None)
    monkeypatch.setattr(scripts, "exec_cluster", lambda *_, cmd, **__: commands.append(cmd))
    files = [str(CLUSTER / "cluster.yaml"), str(CLUSTER / "submit.py")]
    result = CliRunner().invoke(scripts.submit, [*files, "--", "label", "--task", "seg", "--num", "64"])
    assert result.exit_code == 0, result.output
    assert commands == ["python ~/submit.py label --task seg --num 64"]
