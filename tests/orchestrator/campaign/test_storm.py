"""Random faults at random moments of a campaign: nothing acknowledged is lost, nothing is doubled, and it ends.

AIOP_STORM=1000 python -m pytest -m slow -n 0 -s tests/orchestrator/campaign/test_storm.py

The cluster's machines are network namespaces on this machine: that needs root, iproute2 and iptables.

A failing seed is printed; AIOP_STORM_SEED=N draws the same faults.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store.delta import DeltaLabelStore
from predictor import Predictor
from tests.support.faulty_object_store import FaultyObjectStore
from tests.support.killed_driver import requests
from tests.support.store_values import stored_values
from tests.support.storm import Storm
from tests.support.storm_machines import Machines, connected_machines, missing_requirements
from tests.support.storm_places import BucketUnderStorm, FolderUnderStorm, Place, small_disk

FAULTS = int(os.environ.get("AIOP_STORM", "40"))
SEED = int(os.environ.get("AIOP_STORM_SEED", "1"))
EVERY_S = 0.2
LABELS_A_FAULT = 15
LABELS_A_SERVER_FAULT = 120  # an object store is read more slowly between faults


def report(storm: Storm, document: dict[str, Any]) -> None:
    end = {name: document[name] for name in ("done", "labels", "missing", "failed") if name in document}
    print("\n".join(storm.by_kind()))
    counts = f"{storm.starts} drivers, {storm.heads_lost} heads lost, {len(storm.place.damaged)} damaged reports"
    print(f"{len(storm.faults)} faults, {counts}, end {end}")


@pytest.fixture(scope="module", autouse=True)
def requirements() -> None:
    if missing := missing_requirements():
        pytest.skip(missing)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Yield a folder with a path short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="storm") as folder:
        yield Path(folder)


@pytest.mark.slow
@pytest.mark.timeout(20 * FAULTS + 900)
def test_storm_over_fake_labels(tmp_path: Path, short_folder: Path) -> None:
    count, rng = LABELS_A_FAULT * FAULTS + 300, random.Random(SEED)
    with (
        connected_machines(2, short_folder, rng) as machines,
        small_disk(tmp_path / "store", megabytes=600) as folder,
    ):
        storm_over_fake_labels(FolderUnderStorm(folder, rng), machines, count, rng)


@pytest.mark.slow
@pytest.mark.timeout(30 * FAULTS + 900)
def test_storm_over_an_object_store(s3: dict[str, str], short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count, rng = LABELS_A_SERVER_FAULT * FAULTS + 300, random.Random(SEED)
    with connected_machines(2, short_folder, rng) as machines:
        server = FaultyObjectStore(s3["AWS_ENDPOINT_URL"].removeprefix("http://"), machines.host)
        for name, value in {**s3, "AWS_ENDPOINT_URL": f"http://{server.host}:{server.port}"}.items():
            monkeypatch.setenv(name, value)  # the machines take the variables from this process
        try:
            place = BucketUnderStorm(f"s3://labels/storm{SEED}", server, rng)
            storm_over_fake_labels(place, machines, count, rng)
        finally:
            server.close()


def storm_over_fake_labels(place: Place, machines: Machines, count: int, rng: random.Random) -> None:
    machines.start()
    command = [sys.executable, "-m", "tests.support.killed_driver", "auto", place.uri, str(count), "20"]
    storm = Storm(command, place, machines, count, rng)
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
def test_storm_over_real_labels_and_refreshes(tmp_path: Path, short_folder: Path) -> None:
    count, predictors, rng = 4 * FAULTS + 60, tmp_path / "predictors", random.Random(SEED)

    def check_generations() -> None:
        if (predictors / "latest").exists():
            Predictor.load(predictors / "latest")

    with (
        connected_machines(2, short_folder, rng) as machines,
        small_disk(tmp_path / "store", megabytes=600) as folder,
    ):
        machines.start()
        arguments = [*LABEL, "--num", str(count), "--store", str(folder), "--predictors", str(predictors)]
        command = [sys.executable, "-c", PROGRAM, *arguments, "--refresh-every", "60", "--json"]
        place = FolderUnderStorm(folder, rng)
        storm = Storm(command, place, machines, count, rng, last_labels=40, also=check_generations)
        print(f"\nseed {SEED}, {count} labels")
        end = storm.run(FAULTS, 10 * EVERY_S)
        report(storm, end)
        storm.check()
        disturbed = stored_values(folder)
        again = [*LABEL, "--num", str(count), "--store", str(tmp_path / "again"), "--json"]
        undisturbed = machines.head.command(sys.executable, "-c", PROGRAM, *again)
        subprocess.run(undisturbed, check=True, stdout=subprocess.DEVNULL, env=machines.head.environment)
    assert len(disturbed) == count
    assert disturbed == stored_values(tmp_path / "again")
    assert Predictor.load(predictors / "latest").known
