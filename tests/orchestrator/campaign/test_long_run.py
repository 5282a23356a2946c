"""What grows with the number of labels, and what a label costs besides its own time.

AIOP_LONG_RUN=20000 python -m pytest -m slow -n 0 -s tests/orchestrator/campaign/test_long_run.py -k grows
AIOP_LONG_RUN=10000 python -m pytest -m slow -n 0 -s tests/orchestrator/campaign/test_long_run.py -k overhead
"""

from __future__ import annotations

import os
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import psutil
import pytest
import ray

from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.progress import CampaignProgress, utilisation
from orchestrator.campaign.ray_executor import ActorSpec, RayExecutor
from orchestrator.campaign.run import run_campaign
from orchestrator.campaign.scaling import FixedWorkers
from orchestrator.store.committer_process import CommitterProcess
from orchestrator.store.delta import DeltaLabelStore
from tests.support.fake_evaluator import request
from workers.storage.folder_spool import FolderSpool

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200), pytest.mark.usefixtures("ray_session")]
LABELS = int(os.environ.get("AIOP_LONG_RUN", "2000"))


@dataclass(frozen=True)
class Sample:
    """Sizes at a moment: memory and store in MiB, open files and log files as counts, logs in MiB."""

    labels: int
    driver: float
    driver_files: int
    committer: float
    workers: float
    store: float
    store_files: int
    spool: float
    logs: float
    log_files: int


def _mebibytes(count: float) -> float:
    return count / 2**20


def _folder(folder: Path) -> tuple[float, int]:
    """Return MiB and number of files below a folder."""
    sizes = []
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append(os.lstat(os.path.join(place, name)).st_size)
            except FileNotFoundError:
                continue
    return _mebibytes(sum(sizes)), len(sizes)


def _memory(processes: list[int]) -> float:
    """Return the private memory of processes in MiB; what they share with others is not counted."""
    return _mebibytes(sum(psutil.Process(pid).memory_full_info().uss for pid in processes if psutil.pid_exists(pid)))


def _sample(labels: int, committer: CommitterProcess, workers: list[int], store: Path) -> Sample:
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    store_mib, store_files = _folder(store)
    logs, log_files = _folder(session / "logs")
    return Sample(
        labels,
        _memory([os.getpid()]),
        psutil.Process().num_fds(),
        _memory([committer.pid] if committer.pid else []),
        _memory(workers),
        store_mib,
        store_files,
        _folder(store / "_spool")[0],
        logs,
        log_files,
    )


def _run(folder: Path, seconds: float, workers: int) -> tuple[list[Sample], float, float]:
    """Run a campaign of fake labels. Returns ten samples, the share of workers' time on labels, and wall seconds."""
    spool = FolderSpool(folder / "_spool")
    committer = CommitterProcess(str(folder), spool.location)
    controller = CampaignController([request(n, seconds=seconds) for n in range(LABELS)], "c", FixedWorkers(workers))
    evaluator = "tests.support.fake_evaluator:build"
    runner = RayExecutor(ActorSpec("faking", "fake", evaluator, spool.location, resources={"CPU": 1 / workers}))
    samples: list[Sample] = []

    def observe(progress: CampaignProgress) -> None:
        if progress.done >= len(samples) * LABELS // 10 and progress.done:
            samples.append(_sample(progress.done, committer, [p.pid for p in runner.locations.values()], folder))

    def commit() -> None:
        committer.drain()

    begin = time.time()
    end = run_campaign(controller, runner, record=spool.put, commit=commit, observer=observe)
    share, wall = utilisation(controller.times, time.time()), time.time() - begin
    committer.close()
    assert end.done == len(DeltaLabelStore(str(folder)).keys()) == LABELS
    return samples, share, wall


def test_what_grows(tmp_path: Path) -> None:
    """Memory and open files do not grow with the labels; store and logs grow by a known amount a label."""
    samples, _, wall = _run(tmp_path, seconds=0.0, workers=2)
    names = [field.name for field in fields(Sample)]
    print(f"\n{LABELS} labels in {wall:.0f} s\n" + " ".join(names))
    for sample in samples:
        print(" ".join(f"{value:.4g}" for value in astuple(sample)))
    later = np.array([astuple(sample) for sample in samples[2:]], np.float64)
    for column, name in enumerate(names[1:], start=1):
        slope = np.polyfit(later[:, 0] / 1000, later[:, column], 1)[0]
        print(f"{name}: {slope:+.3f} for 1,000 labels")
    final, middle = samples[-1], samples[len(samples) // 2]
    assert final.driver_files <= middle.driver_files + 2
    assert final.spool < 1
    assert final.workers - middle.workers < 4


def test_overhead(tmp_path: Path) -> None:
    """Labels of one second keep 16 workers busy."""
    _, share, wall = _run(tmp_path, seconds=1.0, workers=16)
    print(f"\n{LABELS} labels of 1 s on 16 workers: {wall:.0f} s, {1 - share:.2%} of the workers' time besides labels")
    assert share >= 0.9
