"""Nodes that come and go through prepare, label and refresh: the labels are those of an undisturbed campaign.

AIOP_PREEMPTIONS=20 python -m pytest -m slow -n 0 -s tests/orchestrator/campaign/test_preemption.py
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray.cluster_utils import Cluster

from orchestrator.store.delta import DeltaLabelStore
from predictor import Predictor
from tests.support.ray_clusters import add_node, cluster_without_cores

PREEMPTIONS = int(os.environ.get("AIOP_PREEMPTIONS", "12"))
LABELS, EVERY = 40, 10
PAUSE_S = (4.0, 14.0)
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
        "supernet": {"steps": 600, "save_every": 20, "ema": 0.9, "batch": 16, "input_size": [32, 32]},
        "shared_head": {"steps": 300, "calibration_images": 8},
    },
}


class Preemptions(threading.Thread):
    """Takes a node away after each pause, without a warning, and adds another. phases: what it ran, by count."""

    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        super().__init__(daemon=True)
        self.phases, self.ended = Counter[str](), threading.Event()
        self._cluster, self._rng = cluster, rng

    def run(self) -> None:
        """Preempt until the campaign has ended or all preemptions have happened."""
        while self.phases.total() < PREEMPTIONS and not self.ended.wait(self._rng.uniform(*PAUSE_S)):
            nodes = [node for node in self._cluster.list_all_nodes() if node is not self._cluster.head_node]
            node = max(nodes, key=lambda node: (self._rare(node), self._rng.random()))
            self.phases[phase(node)] += 1
            self._cluster.remove_node(node, allow_graceful=False)
            add_node(self._cluster, num_cpus=2)

    def _rare(self, node: Any) -> int:
        """Return how much a node's work wants a preemption: that with the fewest so far wants it most."""
        return -self.phases[phase(node)] if phase(node) != "nothing" else -PREEMPTIONS


def phase(node: Any) -> str:
    """Return what a node does: prepare, label, refresh or nothing."""
    (raylet,) = (info.process.pid for info in node.all_processes["raylet"])
    titles = " ".join(title(process) for process in psutil.Process(raylet).children(recursive=True))
    return next((name for process, name in PHASES.items() if process in titles), "nothing")


def title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def labels(store: Path) -> dict[str, float]:
    rows = DeltaLabelStore(str(store)).labels()
    return dict(zip(rows.column("key").to_pylist(), rows.column("value").to_pylist(), strict=True))


def command(folder: Path) -> list[str]:
    folder.mkdir()
    settings = {"store": str(folder / "store"), "predictors": str(folder / "predictors")}
    (folder / "campaign.yaml").write_text(json.dumps(SETTINGS | settings))
    return [*PROGRAM, "--config", str(folder / "campaign.yaml")]


@pytest.mark.slow
@pytest.mark.timeout(60 * PREEMPTIONS + 1800)
def test_nodes_that_come_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed, preempted = tmp_path / "undisturbed", tmp_path / "preempted"
    subprocess.run(command(undisturbed), check=True, stdout=subprocess.DEVNULL)
    with cluster_without_cores(nodes=2, num_cpus=2) as cluster:
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        preemptions = Preemptions(cluster, random.Random(1))
        preemptions.start()
        began = time.monotonic()
        try:
            done = subprocess.run(command(preempted), stdout=subprocess.PIPE, text=True)
        finally:
            preemptions.ended.set()
            preemptions.join()
    print(f"\n{dict(preemptions.phases)} preemptions in {time.monotonic() - began:.0f} s")
    assert done.returncode == 0
    assert labels(preempted / "store") == labels(undisturbed / "store")
    assert len(labels(preempted / "store")) == LABELS
    assert Predictor.load(preempted / "predictors" / "latest").known
    assert preemptions.phases.keys() >= {"prepare", "label", "refresh"}
