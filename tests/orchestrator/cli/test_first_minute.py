"""How long a new user waits. `pytest -m slow -n 0 -s` prints the seconds."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.store.delta import DeltaLabelStore

_PROGRAM = "from orchestrator.cli import main; main()"
_LONGEST_HELP_S, _LONGEST_S = 10.0, 240.0  # of a busy machine; the figures that are printed are what matters


@pytest.mark.slow
def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", _PROGRAM, "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    with capsys.disabled():
        print(f"\norchestrator --help: {sorted(seconds)[2]:.2f} s (median of 5)")
    assert sorted(seconds)[2] < _LONGEST_HELP_S


@pytest.mark.slow
def test_the_first_label_and_the_eighth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, began = str(tmp_path / "labels"), time.time()
    arguments = ["label", "--task", "seg", "--num", "8", "--store", store, "--json"]
    subprocess.run([sys.executable, "-c", _PROGRAM, *arguments], check=True, capture_output=True, cwd=tmp_path)
    whole = time.time() - began
    finished = sorted(row.timestamp() - began for row in DeltaLabelStore(store).labels()["finished"].to_pylist())
    assert len(finished) == 8
    with capsys.disabled():
        print(
            f"\nlabel --task seg: first label after {finished[0]:.1f} s, eighth {finished[7]:.1f} s, end {whole:.1f} s"
        )
    assert whole < _LONGEST_S
