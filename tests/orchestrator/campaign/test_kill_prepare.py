"""kill -9 of the program or its worker during the pre-training: the next run resumes and gives the same weights."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file
from torch import equal

from orchestrator.store.delta import DeltaLabelStore
from tests.support.store_values import stored_values

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
KILLS, LABELS = 12, 2
SETTINGS = {
    "task": "seg",
    "num": LABELS,
    "workers": 2,
    "data": "shapes:train=64,held_out=8",
    "set": {
        "steps": 10,
        "ema": 0.8,
        "body": {"channels": [8, 8, 8, 8], "reduction": "pool"},
        "calibration_images": 16,
        "supernet": {"steps": 150, "save_every": 10, "ema": 0.9, "batch": 16, "input_size": [32, 32]},
        "shared_head": {"steps": 300, "calibration_images": 8},
    },
}
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "OMP_"))}


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start the program in a new session."""
    folder.mkdir(exist_ok=True)
    (folder / "campaign.yaml").write_text(json.dumps(SETTINGS | {"store": str(folder / "store")}))
    program = [sys.executable, "-c", "from orchestrator.cli import main; main()", "label", "--json"]
    root = Path(__file__).parents[3]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [*program, "--config", str(folder / "campaign.yaml")],
            cwd=root,
            env=CLEAN,
            start_new_session=True,
            stdout=log,
            stderr=log,
        )


def preparing(folder: Path) -> list[Path]:
    """Folders of artifacts that are not complete yet."""
    return [path for path in (folder / "store" / "_artifacts").glob("*.partial") if path.is_dir()]


def kill_worker(program: subprocess.Popen[bytes]) -> None:
    """Kill the pre-training worker, which the program starts again."""
    victims = [p for p in psutil.Process(program.pid).children(recursive=True) if "Preparer" in " ".join(p.cmdline())]
    for victim in victims:
        victim.send_signal(signal.SIGKILL)


def kill_program(program: subprocess.Popen[bytes]) -> None:
    """Kill the program, then all processes that it started."""
    descendants = psutil.Process(program.pid).children(recursive=True)
    program.send_signal(signal.SIGKILL)
    program.wait(120)
    for process in descendants:
        if process.is_running():
            process.kill()
    psutil.wait_procs(descendants, timeout=30)


def weights(folder: Path) -> dict[str, dict[str, object]]:
    paths = (folder / "store" / "_artifacts").glob("*/weights.safetensors")
    return {path.parent.name: dict(load_file(path)) for path in paths}


def test_kills_during_the_pre_training(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert start(undisturbed).wait(600) == 0
    choose, partial = random.Random(3), set[str]()
    for number in range(KILLS):
        logged = (killed / "log").stat().st_size if (killed / "log").exists() else 0
        program = start(killed)
        while b"preparing" not in (killed / "log").read_bytes()[logged:] and program.poll() is None:
            time.sleep(0.05)
        time.sleep(choose.uniform(0, 4))
        assert program.poll() is None, "it ended before it could be killed: use more training steps"
        partial |= {path.name.split("-")[0] for path in preparing(killed)}
        if number % 2 == 1:
            kill_worker(program)
            time.sleep(choose.uniform(2, 6))  # it resumes
        assert program.poll() is None, "a lost worker must not end the program"
        kill_program(program)
        assert not DeltaLabelStore(str(killed / "store")).labels().num_rows
    assert start(killed).wait(600) == 0
    assert not preparing(killed)
    assert partial == {"supernet", "head"}  # kills hit both
    ours, theirs = weights(killed), weights(undisturbed)
    print(f"\n{KILLS} kills, at {sorted(partial)}")
    assert ours.keys() == theirs.keys()
    assert len(ours) == 2
    for name, tensors in theirs.items():
        assert all(equal(value, ours[name][tensor]) for tensor, value in tensors.items())  # type: ignore[arg-type]
    assert stored_values(killed / "store") == stored_values(undisturbed / "store")
