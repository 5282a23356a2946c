"""Labels an hour of a campaign with two workers and of a plain script, task by task. A measurement: prints figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.store.delta import DeltaLabelStore
from workers.tasks import task_names

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ARCHITECTURES = 32
# What the weights and the head are worth has no part in how long a label takes.
BRIEF = {"supernet": {"steps": 4, "save_every": 4, "ema": 0.5}, "shared_head": {"steps": 4, "ema": 0.5}}
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "OMP_"))}
ROOT = Path(__file__).parents[3]


def campaign(task: str, folder: Path) -> float:
    """Seconds from the first start to the last end of a label, loading included; Ray starts before and stops after."""
    (folder / "config.yaml").write_text(json.dumps({"set": BRIEF}))
    store = str(folder / "store")
    asked = ["label", "--task", task, "--num", str(ARCHITECTURES), "--workers", "2"]
    program = [sys.executable, "-c", "from orchestrator.cli import main; main()"]
    subprocess.run(
        [*program, *asked, "--config", str(folder / "config.yaml"), "--store", store],
        env=CLEAN,
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    rows = DeltaLabelStore(store).labels().to_pylist()
    assert len(rows) == ARCHITECTURES
    return float((max(row["finished"] for row in rows) - min(row["started"] for row in rows)).total_seconds())


def plain(task: str, folder: Path) -> float:
    config = {"task": task, "fidelity": "shared", "num": ARCHITECTURES, "set": BRIEF, "store": str(folder / "store")}
    command = [sys.executable, "-m", "tests.support.plain_script", json.dumps(config)]
    environment = CLEAN | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


@pytest.mark.parametrize("task", task_names())
def test_two_workers_against_a_plain_script(task: str, tmp_path: Path) -> None:
    ours, theirs = campaign(task, tmp_path), plain(task, tmp_path)
    a_label = f"{ours / ARCHITECTURES:.2f} s a label, by the script {theirs / ARCHITECTURES:.2f}"
    print(f"\n{task}: {a_label}: {theirs / ours:.2f} times as many an hour")
    assert theirs / ours >= 1.7
