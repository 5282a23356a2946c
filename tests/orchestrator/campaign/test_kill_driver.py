"""kill -9 of the driver and the committer at random moments: no committed label is lost and no key is doubled."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pyarrow.compute as pc
import pytest
import ray

from orchestrator.store.delta import DeltaLabelStore
from tests.support.killed_driver import requests

pytestmark = pytest.mark.usefixtures("ray_session")


def start(store_folder: Path, count: int) -> subprocess.Popen[str]:
    """Start a driver and wait until its campaign has begun."""
    started = store_folder / "driver.started"
    started.unlink(missing_ok=True)
    address = ray.get_runtime_context().gcs_address
    driver = subprocess.Popen(
        [sys.executable, "-m", "tests.support.killed_driver", address, str(store_folder), str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )
    while not started.exists() and driver.poll() is None:
        time.sleep(0.02)
    return driver


def wait_for_a_report(store_folder: Path, driver: subprocess.Popen[str]) -> None:
    """Wait until the driver's workers have finished a new label."""
    before = DeltaLabelStore(str(store_folder)).version()
    deadline = time.monotonic() + 30
    while driver.poll() is None and time.monotonic() < deadline:
        if list((store_folder / "_spool").glob("*.json")) or DeltaLabelStore(str(store_folder)).version() > before:
            return
        time.sleep(0.02)


def finish(driver: subprocess.Popen[str]) -> dict[str, object]:
    out, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0
    end: dict[str, object] = json.loads(out.splitlines()[-1])
    return end


def check(store_folder: Path, count: int) -> None:
    """Check that the store holds what an undisturbed campaign leaves: labels of all but the five failing requests."""
    store, wanted = DeltaLabelStore(str(store_folder)), requests(count)
    rows = store.labels().column("key").to_pylist()
    assert len(rows) == len(set(rows))
    assert set(rows) == {request.key for request in wanted[5:]}
    assert store.finally_failed() == {request.key for request in wanted[:4]}
    attempts = store.attempts().column("attempt_id").to_pylist()
    assert len(attempts) == len(set(attempts))
    assert not list((store_folder / "_spool").glob("*.json"))


def test_an_undisturbed_campaign(tmp_path: Path) -> None:
    end = finish(start(tmp_path, 20))
    assert end == {"done": 15, "failed": 5, "todo": 0, "problem": None}
    check(tmp_path, 20)


def test_two_campaigns_with_one_list(tmp_path: Path) -> None:
    """Each makes about half of the labels, because it hears what the other one has stored."""
    count = 160
    first, second = start(tmp_path, count), start(tmp_path, count)
    ends = [finish(first), finish(second)]
    check(tmp_path, count)
    made = DeltaLabelStore(str(tmp_path)).attempts().filter(pc.field("outcome") == "ok").num_rows
    print(f"{made} labels were made of {count - 5}: {ends}")
    assert made < 1.5 * (count - 5)
    assert all(end["done"] == count - 5 for end in ends)


@pytest.mark.parametrize(("kills", "count"), [(4, 60), pytest.param(20, 300, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
def test_kills_of_the_driver(kills: int, count: int, tmp_path: Path) -> None:
    choose, committed = random.Random(11), set[str]()
    for number in range(kills):
        driver = start(tmp_path, count)
        if number % 4:  # otherwise the kill may happen while the actors start
            wait_for_a_report(tmp_path, driver)
        time.sleep(choose.uniform(0.0, 0.8))
        assert driver.poll() is None, "the campaign ended before its driver could be killed: use more labels"
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        stored = set(DeltaLabelStore(str(tmp_path)).keys())
        assert committed <= stored
        committed = stored
    assert len(committed) >= kills
    finish(start(tmp_path, count))
    check(tmp_path, count)


@pytest.mark.parametrize(("kills", "count"), [(4, 450), pytest.param(20, 3000, marks=pytest.mark.slow)])
def test_kills_of_the_committer(kills: int, count: int, tmp_path: Path) -> None:
    choose, killed = random.Random(5), set[int]()
    driver = start(tmp_path, count)
    while len(killed) < kills and driver.poll() is None:
        time.sleep(choose.uniform(0.05, 0.5))
        pid = (tmp_path / "committer.pid").read_text()
        if pid.isdigit() and int(pid) not in killed:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
                killed.add(int(pid))
    finish(driver)
    assert len(killed) == kills
    check(tmp_path, count)
