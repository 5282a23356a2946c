"""Random faults at random moments of a campaign: nothing acknowledged is lost, nothing is doubled, and it ends.

AIOP_STORM=1000 python -m pytest -m slow -n 0 -s tests/orchestrator/campaign/test_storm.py

The network is cut only in a network namespace without other interfaces, which `unshare --net` makes:
`unshare --net sh -c "ip link set lo up; python -m pytest ..."`.

A failing seed is printed; AIOP_STORM_SEED=N draws the same faults.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from orchestrator.store.delta import DeltaLabelStore
from predictor import Predictor
from tests.support.faulty_object_store import FaultyObjectStore
from tests.support.killed_driver import requests
from tests.support.ray_clusters import cluster_without_cores
from tests.support.store_values import stored_values
from tests.support.storm import Storm
from tests.support.storm_places import BucketUnderStorm, FolderUnderStorm, Place, small_disk

FAULTS = int(os.environ.get("AIOP_STORM", "40"))
SEED = int(os.environ.get("AIOP_STORM_SEED", "1"))
EVERY_S = 0.2
LABELS_A_FAULT = 12
LABELS_A_SERVER_FAULT = 120  # an object store is read more slowly between faults


def report(storm: Storm, document: dict[str, Any]) -> None:
    end = {name: document[name] for name in ("done", "labels", "missing", "failed") if name in document}
    print("\n".join(storm.by_kind()))
    damaged = len(storm.place.damaged)
    print(f"{len(storm.faults)} faults, {storm.starts} drivers, {damaged} damaged reports, end {end}")


@pytest.mark.slow
@pytest.mark.timeout(20 * FAULTS + 900)
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_storm_over_fake_labels(tmp_path: Path) -> None:
    count = LABELS_A_FAULT * FAULTS + 300
    with cluster_without_cores(nodes=2, num_cpus=2) as cluster, small_disk(tmp_path / "store", megabytes=600) as folder:
        rng = random.Random(SEED)
        storm_over_fake_labels(FolderUnderStorm(folder, rng), cluster, count, rng)


@pytest.mark.slow
@pytest.mark.timeout(30 * FAULTS + 900)
def test_storm_over_an_object_store(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    count, rng = LABELS_A_SERVER_FAULT * FAULTS + 300, random.Random(SEED)
    server = FaultyObjectStore(s3["AWS_ENDPOINT_URL"].removeprefix("http://"))
    for name, value in {**s3, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}"}.items():
        monkeypatch.setenv(name, value)  # workers take the variables from this process
    try:
        with cluster_without_cores(nodes=2, num_cpus=2) as cluster:
            place = BucketUnderStorm(f"s3://labels/storm{SEED}", server, rng)
            storm_over_fake_labels(place, cluster, count, rng)
    finally:
        server.close()


def storm_over_fake_labels(place: Place, cluster: Cluster, count: int, rng: random.Random) -> None:
    module = "tests.support.killed_driver"
    command = [sys.executable, "-m", module, cluster.address, place.uri, str(count), "20"]
    storm = Storm(command, place, cluster, count, rng)
    print(f"\nseed {SEED}, {count} labels")
    end = storm.run(FAULTS, EVERY_S)
    report(storm, end)
    storm.check()
    store, wanted = DeltaLabelStore(place.uri), requests(count)
    assert store.keys() == {request.key for request in wanted[5:]}
    assert store.finally_failed() == {request.key for request in wanted[:4]}
    assert len(storm.faults) == FAULTS, "the campaign ended before all faults: use more labels"


PROGRAM = "from orchestrator.cli import main; main()"
LABEL = ["label", "--task", "seg", "--fidelity", "full", "--set", "steps=4", "--set", "batch=4", "--set", "ema=0.5"]
LABEL += ["--set", "input_size=[32, 32]", "--set", "train_images=32", "--set", "eval_images=16", "--workers", "4"]


@pytest.mark.slow
@pytest.mark.timeout(120 * FAULTS + 1800)
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_storm_over_real_labels_and_refreshes(tmp_path: Path) -> None:
    count, predictors = 4 * FAULTS + 60, tmp_path / "predictors"

    def check_generations() -> None:
        if (predictors / "latest").exists():
            Predictor.load(predictors / "latest")

    with cluster_without_cores(nodes=2, num_cpus=2) as cluster, small_disk(tmp_path / "store", megabytes=600) as folder:
        arguments = [*LABEL, "--num", str(count), "--store", str(folder), "--predictors", str(predictors)]
        command = [sys.executable, "-c", PROGRAM, *arguments, "--refresh-every", "60", "--json"]
        os.environ["RAY_ADDRESS"] = cluster.address
        try:
            rng = random.Random(SEED)
            place = FolderUnderStorm(folder, rng)
            storm = Storm(command, place, cluster, count, rng, last_labels=40, also=check_generations)
            print(f"\nseed {SEED}, {count} labels")
            end = storm.run(FAULTS, 10 * EVERY_S)
            report(storm, end)
            storm.check()
            disturbed = stored_values(folder)
            again = [*LABEL, "--num", str(count), "--store", str(tmp_path / "again"), "--json"]
            subprocess.run([sys.executable, "-c", PROGRAM, *again], check=True, stdout=subprocess.DEVNULL)
        finally:
            del os.environ["RAY_ADDRESS"]
    assert len(disturbed) == count
    assert disturbed == stored_values(tmp_path / "again")
    assert Predictor.load(predictors / "latest").known
