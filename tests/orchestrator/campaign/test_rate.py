"""Measure labels per hour of a campaign with two workers and of a plain script, for every task; prints the numbers."""

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
# The quality of the weights and the head does not affect how long a label takes.
SHORT_TRAINING = {"supernet": {"steps": 4, "save_every": 4, "ema": 0.5}, "shared_head": {"steps": 4, "ema": 0.5}}
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "OMP_"))}
ROOT = Path(__file__).parents[3]


def campaign(task: str, folder: Path) -> float:
    """Return the seconds from the first start to the last end of a label, without the start and stop of Ray."""
    (folder / "config.yaml").write_text(json.dumps({"set": SHORT_TRAINING}))
    store = str(folder / "store")
    arguments = ["label", "--task", task, "--num", str(ARCHITECTURES), "--workers", "2"]
    program = [sys.executable, "-c", "from orchestrator.cli import main; main()"]
    subprocess.run(
        [*program, *arguments, "--config", str(folder / "config.yaml"), "--store", store],
        env=CLEAN,
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    rows = DeltaLabelStore(store).labels().to_pylist()
    assert len(rows) == ARCHITECTURES
    return float((max(row["finished"] for row in rows) - min(row["started"] for row in rows)).total_seconds())


def plain(task: str, folder: Path) -> float:
    config = {
        "task": task,
        "fidelity": "shared",
        "num": ARCHITECTURES,
        "set": SHORT_TRAINING,
        "store": str(folder / "store"),
    }
    command = [sys.executable, "-m", "tests.support.plain_script", json.dumps(config)]
    environment = CLEAN | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


@pytest.mark.parametrize("task", task_names())
def test_two_workers_against_a_plain_script(task: str, tmp_path: Path) -> None:
    ours, theirs = campaign(task, tmp_path), plain(task, tmp_path)
    seconds = f"{ours / ARCHITECTURES:.2f} s per label, by the script {theirs / ARCHITECTURES:.2f}"
    print(f"\n{task}: {seconds}: {theirs / ours:.2f} times as many per hour")
    assert theirs / ours >= 1.7
