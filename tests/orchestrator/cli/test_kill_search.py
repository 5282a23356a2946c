"""kill -9 of the real `orchestrator search` at random moments: the same labels and the same result in the end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.store.delta import DeltaLabelStore

KILLS = int(os.environ.get("AIOP_KILLS", "20"))
_PROGRAM = "from orchestrator.cli import main; main()"
_RECIPE = ["steps=30", "input_size=[32,32]", "batch=4", "train_images=64", "eval_images=32"]
_ARGUMENTS = [
    "search",
    "--task",
    "seg",
    "--fidelity",
    "full",
    *(word for field in _RECIPE for word in ("--set", field)),
]
_ARGUMENTS += ["--max-flops", "80%", "--budget", "16 labels", "--verify", "2", "--verify-seeds", "2"]
_ARGUMENTS += ["--workers", "2", "--json", "--store", "labels"]


def _start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _PROGRAM, *_ARGUMENTS]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )


def _finish(folder: Path) -> dict[str, Any]:
    out, _ = _start(folder).communicate(timeout=900)
    result: dict[str, Any] = json.loads(out)
    return result


def _rows(folder: Path) -> dict[str, float]:
    table = DeltaLabelStore(str(folder / "labels")).labels()
    keys, values = table.column("key").to_pylist(), table.column("value").to_pylist()
    assert len(keys) == len(set(keys))
    return dict(zip(keys, values, strict=True))


def _kill(command: subprocess.Popen[str]) -> None:
    """Kill the command and all processes below it, as the end of a machine does."""
    below = psutil.Process(command.pid).children(recursive=True)
    command.send_signal(signal.SIGKILL)
    for process in below:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    command.wait()


@pytest.mark.slow
@pytest.mark.timeout(120 * KILLS + 1800)
def test_search_is_killed_and_continues(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    undisturbed.mkdir()
    killed.mkdir()
    begin = time.monotonic()
    expected = _finish(undisturbed)
    seconds = time.monotonic() - begin
    choose, moments = random.Random(4), list[float]()
    while len(moments) < KILLS:
        command = _start(killed)
        moment = choose.uniform(0.1, 0.6) * seconds
        time.sleep(moment)
        if command.poll() is not None:
            break  # it has ended before this kill
        _kill(command)
        moments.append(moment)
    found = _finish(killed)
    print(f"\nundisturbed {seconds:.0f} s; {len(moments)} kills after " + ", ".join(f"{m:.0f}" for m in moments) + " s")
    assert len(moments) > KILLS // 2, "the search ended too early: use more labels"
    assert _rows(killed) == _rows(undisturbed)
    for part in ("front", "winner", "verified"):
        assert found[part] == expected[part], part
