"""kill -9 of a refresh at random moments: the champion stays usable, and the next refresh finishes."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from orchestrator.predictors.decisions import read_records
from orchestrator.predictors.generations import champion_number
from orchestrator.predictors.refresh.changes import NothingToDo
from orchestrator.predictors.refresh.run import Trained
from orchestrator.predictors.verdict import Verdict
from orchestrator.store.delta import DeltaLabelStore
from predictor import Predictor
from predictor.models.transfer import TransferModel
from predictor.networks.multi_head import FIT_SETTINGS, UPDATE_SETTINGS
from tests.support.in_process_training import refresh_in
from tests.support.labelled_networks import labelled, network

QUERIES = [network(number) for number in range(300, 305)]


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.timeout(900)
def test_a_killed_refresh_is_resumed(kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TransferModel, "fit_settings", FIT_SETTINGS)
    monkeypatch.setattr(TransferModel, "update_settings", UPDATE_SETTINGS)
    store, out = DeltaLabelStore(tmp_path / "labels"), tmp_path / "predictors"
    store.commit([labelled(number) for number in range(40)])
    assert isinstance(refresh_in(str(tmp_path)), Trained)
    rng, fork = random.Random(3), multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload(["tests.support.in_process_training"])  # slow imports happen once
    first = fork.Process(target=int)  # so that the imports do not count as time of a refresh
    first.start()
    first.join()
    killed, duration = 0, None
    for number in range(40, 50 + 10 * kills, 10):
        store.commit([labelled(number + offset) for offset in range(10)])
        process, started = fork.Process(target=refresh_in, args=(str(tmp_path),)), time.monotonic()
        process.start()
        assert process.pid is not None
        process.join(None if duration is None else rng.uniform(0, 1.2 * duration))
        duration = duration or time.monotonic() - started
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        prediction = Predictor.load(out / "latest").predict(QUERIES, "seg")
        assert np.isfinite(prediction.mean).all()
    assert killed >= kills // 2
    refresh_in(str(tmp_path))
    assert isinstance(refresh_in(str(tmp_path)), NothingToDo)
    records, champion = read_records(out), champion_number(out)
    promoted = [record for record in records if record.verdict is Verdict.PROMOTE]
    assert all(record.done for record in records)
    assert Predictor.load(out / "latest").metadata.version == max(record.version for record in promoted)
    assert champion == max(record.number for record in promoted)
    assert records[-1].version == store.version()
    assert [path.name for path in (out / "_training").iterdir()] == ["lock"]
    assert [path.name for path in (out / "_replay").iterdir()] == [f"{champion:06d}"]
