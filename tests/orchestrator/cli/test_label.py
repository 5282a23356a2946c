"""The main command for real: labels on Ray actors, then the same again, then more."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import label as module
from orchestrator.cli.app import main
from orchestrator.errors import ConfigError
from workers.recipe import Recipe

TINY = ["--set", "steps=20", "--set", "ema=0.8", "--set", "batch=4", "--set", "train_images=16"]
TINY += ["--set", "eval_images=8", "--set", "input_size=[32,32]"]


@pytest.mark.usefixtures("ray_session")
def test_a_campaign_a_rerun_and_a_longer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import ray

    started: list[int] = []
    monkeypatch.setattr(ray, "init", lambda **_: started.append(1) or _Context())
    monkeypatch.setattr(ray, "shutdown", lambda: None)  # the session's Ray stays

    def label(*arguments: str) -> tuple[int, dict[str, Any]]:
        fixed = ["label", "--task", "cls", "--store", str(tmp_path / "store"), "--workers", "2", "--json"]
        monkeypatch.setattr(sys, "argv", ["orchestrator", *fixed, *TINY, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return int(ended.value.code or 0), document

    code, first = label("--num", "4")
    assert (code, first["labels"], first["missing"], len(started)) == (0, 4, 0, 1)
    assert first["lowest"] <= first["best"]["value"] == first["highest"]
    code, again = label("--num", "4")
    assert (code, again["version"], len(started)) == (0, first["version"], 1)  # no Ray, no row
    code, more = label("--num", "5", "--repeat", "2")
    assert (code, more["labels"], len(started)) == (0, 10, 2)
    assert more["reliability"]["architectures"] == 5
    store = module.DeltaLabelStore(str(tmp_path / "store"))
    assert len(store.keys()) == store.labels().num_rows == 10
    assert store.attempts().num_rows == 10


class _Context:
    dashboard_url = None


@pytest.mark.parametrize(
    ("cpus", "gpus", "cluster", "fit"),
    [
        (1, 0, {"CPU": 4.0}, 4),
        (3, 0, {"CPU": 8.0}, 2),
        (1, 0.25, {"CPU": 16.0, "GPU": 2.0}, 8),
        (0.5, 0, {"CPU": 1.0}, 2),
    ],
)
def test_as_many_workers_as_fit(cpus: float, gpus: float, cluster: dict[str, float], fit: int) -> None:
    assert module.workers_that_fit(Recipe(name="r", task="seg", cpus=cpus, gpus=gpus), cluster) == fit


def test_a_recipe_too_large_for_the_cluster_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"needs 0.5 GPU a worker, the cluster has 0: choose another recipe"):
        module.workers_that_fit(Recipe(name="r", task="seg", gpus=0.5), {"CPU": 4.0})
