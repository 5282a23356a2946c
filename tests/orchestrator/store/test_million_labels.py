"""Figures of a large store: seconds per commit, memory, filtered reads, `status` and compaction.

AIOP_LABEL_COUNT: number of labels, a multiple of 20,000, e.g. 1000000. AIOP_LABELS_STORE: where to keep the store.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.labelled_cells import cell_labels
from tests.support.large_store import NETWORKS, SEEDS, TASKS
from workers.storage.report_json import report_to_json

COUNT = int(os.environ.get("AIOP_LABEL_COUNT", "100000"))
READS = ("labels", "columns", "graphs", "since", "keys")


def _in_process(call: str, *arguments: Any) -> list[dict[str, float]]:
    """Run a function of `large_store` in a separate process, whose memory is then known; return what it prints."""
    code = f"from tests.support import large_store; large_store.{call}(*{arguments!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True
    )
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        print(call, *arguments[1:], line, end="", flush=True)
        lines.append(json.loads(line))
    assert process.wait() == 0
    return lines


def _status(store: str) -> dict[str, Any]:
    code = "from orchestrator.cli import main; main()"
    command = [sys.executable, "-c", code, "status", "--store", store, "--predictors", f"{store}/none", "--json"]
    start = time.perf_counter()
    document: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"status: {time.perf_counter() - start:.2f} s", flush=True)
    return document


def _measure(store: str) -> None:
    for table in ("labels", "graphs", "attempts"):
        files = list(Path(store, table).glob("*.parquet"))
        size = sum(file.stat().st_size for file in files) >> 20
        print(f"{table}: {len(files)} files, {size} MB, with files that compactions replaced", flush=True)
    for what in READS:
        (figures,) = _in_process("read", store, what)
        graphs = min(NETWORKS, COUNT // TASKS // SEEDS) // TASKS
        expected = {"since": COUNT, "keys": COUNT, "graphs": graphs}
        assert figures["rows"] == expected.get(what, COUNT // TASKS)
    document = _status(store)
    assert document["labels"] == COUNT
    assert document["attempts"] == {"ok": COUNT, "out_of_memory": COUNT // 10}
    assert len(document["groups"]) == 20


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_large_store(tmp_path: Path) -> None:
    store, template = os.environ.get("AIOP_LABELS_STORE", str(tmp_path / "labels")), tmp_path / "report.json"
    template.write_text(report_to_json(cell_labels("seg", 1)[0]))
    tenths = _in_process("commit_all", store, str(template), COUNT)
    assert len(tenths) == 10
    _measure(store)
    _in_process("compact", store)
    _measure(store)
