"""Nodes that come and go through prepare, label and refresh: the labels are those of an undisturbed campaign.

AIOP_PREEMPTIONS=6 python -m pytest -m slow -n 0 -s tests/orchestrator/campaign/test_preemption.py
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray.cluster_utils import Cluster

from predictor import Predictor
from tests.support.ray_clusters import add_node, children, cluster_without_cores, title
from tests.support.store_values import stored_values

EACH = int(os.environ.get("AIOP_PREEMPTIONS", "3"))  # while it prepares, labels, refreshes
LABELS, EVERY = 40, 10
PAUSE_S, LOOK_S = (12.0, 25.0), 0.2  # after a preemption; until there is something to preempt
PHASES = {"Preparer": "prepare", "LabelActor": "label", "RayTrainWorker": "refresh"}
PROGRAM = [sys.executable, "-c", "from orchestrator.cli import main; main()", "label", "--json"]
SETTINGS: dict[str, Any] = {
    "task": "seg",
    "num": LABELS,
    "workers": 2,
    "data": "shapes:train=64,held_out=8",
    "refresh_every": EVERY,
    "set": {
        "steps": 60,
        "ema": 0.8,
        "body": {"channels": [8, 8, 8, 8], "reduction": "pool"},
        "calibration_images": 16,
        "supernet": {"steps": 200, "save_every": 5, "ema": 0.9, "batch": 16, "input_size": [32, 32]},
        "shared_head": {"steps": 300, "calibration_images": 8},
    },
}


def preempt(cluster: Cluster, rng: random.Random, campaign: subprocess.Popen[bytes]) -> Counter[str]:
    """Take a node away after each pause, without a warning, and add another, until the campaign has ended.

    Returns how many of the nodes ran what.
    """
    phases, pause = Counter[str](), rng.uniform(*PAUSE_S)
    while True:
        with suppress(subprocess.TimeoutExpired):
            campaign.wait(pause)
            return phases
        running = [(phase(node), node) for node in cluster.list_all_nodes() if node is not cluster.head_node]
        due = [(name, node) for name, node in running if name and phases[name] < EACH]
        pause = LOOK_S
        if due:
            name, node = min(due, key=lambda pair: phases[pair[0]])
            phases[name] += 1
            cluster.remove_node(node, allow_graceful=False)
            add_node(cluster, num_cpus=2)
            pause = rng.uniform(*PAUSE_S)


def phase(node: Any) -> str:
    """Return what a node does: prepare, label, refresh, or nothing of these (empty)."""
    (raylet,) = (info.process.pid for info in node.all_processes["raylet"])
    titles = " ".join(map(title, children(psutil.Process(raylet))))
    return next((name for process, name in PHASES.items() if process in titles), "")


def command(folder: Path) -> list[str]:
    folder.mkdir()
    settings = {"store": str(folder / "store"), "predictors": str(folder / "predictors")}
    (folder / "campaign.yaml").write_text(json.dumps(SETTINGS | settings))
    return [*PROGRAM, "--config", str(folder / "campaign.yaml")]


@pytest.mark.slow
@pytest.mark.timeout(180 * EACH + 1800)
def test_nodes_that_come_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed, preempted = tmp_path / "undisturbed", tmp_path / "preempted"
    subprocess.run(command(undisturbed), check=True, stdout=subprocess.DEVNULL)
    with cluster_without_cores(nodes=2, num_cpus=2) as cluster:
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        began = time.monotonic()
        campaign = subprocess.Popen(command(preempted), stdout=subprocess.DEVNULL)
        try:
            phases = preempt(cluster, random.Random(1), campaign)
        finally:
            campaign.kill()
    print(f"\n{dict(phases)} preemptions in {time.monotonic() - began:.0f} s")
    assert campaign.returncode == 0
    assert stored_values(preempted / "store") == stored_values(undisturbed / "store")
    assert len(stored_values(preempted / "store")) == LABELS
    assert Predictor.load(preempted / "predictors" / "latest").known
    assert phases.keys() == {*PHASES.values()}
