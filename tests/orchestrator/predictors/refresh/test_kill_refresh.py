"""kill -9 of a refresh at random moments: the champion stays whole, and the next refresh finishes."""

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
from orchestrator.predictors.generations import champion
from orchestrator.predictors.refresh.changes import NothingToDo
from orchestrator.predictors.refresh.run import Trained
from orchestrator.store.delta import DeltaLabelStore
from predictor import Predictor
from predictor.models.transfer import TransferModel
from predictor.networks.multi_head import FIT_SETTINGS, UPDATE_SETTINGS
from tests.support.in_process_training import work
from tests.support.labelled_networks import labelled, network

ASKED = [network(number) for number in range(300, 305)]


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.timeout(900)
def test_kills_of_a_refresh(kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TransferModel, "fit_settings", FIT_SETTINGS)
    monkeypatch.setattr(TransferModel, "update_settings", UPDATE_SETTINGS)
    store, out = DeltaLabelStore(tmp_path / "labels"), tmp_path / "predictors"
    store.commit([labelled(number) for number in range(40)])
    assert isinstance(work(str(tmp_path)), Trained)
    choose, fork = random.Random(3), multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload(["tests.support.in_process_training"])  # what takes seconds to load is loaded once
    first = fork.Process(target=int)  # the time of loading does not count below
    first.start()
    first.join()
    killed, usual = 0, None
    for number in range(40, 50 + 10 * kills, 10):
        store.commit([labelled(number + offset) for offset in range(10)])
        process, began = fork.Process(target=work, args=(str(tmp_path),)), time.monotonic()
        process.start()
        assert process.pid is not None
        process.join(None if usual is None else choose.uniform(0, 1.2 * usual))
        usual = usual or time.monotonic() - began
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        found = Predictor.load(out / "latest").predict(ASKED, "seg")
        assert np.isfinite(found.mean).all()
    assert killed >= kills // 2
    work(str(tmp_path))
    assert isinstance(work(str(tmp_path)), NothingToDo)
    records, number = read_records(out), champion(out)
    assert all(record.done for record in records)
    assert Predictor.load(out / "latest").metadata.version == max(r.version for r in records if r.decision == "promote")
    assert number == max(record.number for record in records if record.decision == "promote")
    assert records[-1].version == store.version()
    assert [path.name for path in (out / "_training").iterdir()] == ["lock"]
    assert [path.name for path in (out / "_replay").iterdir()] == [f"{number:06d}"]
