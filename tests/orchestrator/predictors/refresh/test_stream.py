"""Published labels in slices: accuracy and cost of refreshes. A measurement, minutes long, that prints its results.

AIOP_LABELS=/path/to/labels python -m pytest -m slow -n 0 -s tests/orchestrator/predictors/refresh/test_stream.py
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from orchestrator.predictors.decisions import RefreshRecord
from orchestrator.predictors.generations import champion_number
from orchestrator.predictors.refresh.run import RefreshOutcome, refresh
from orchestrator.store.delta import DeltaLabelStore
from predictor import Predictor
from tests.support.in_process_training import TRAINERS, train_first
from tests.support.published_labels import Published, score

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]
MARGIN = 0.02


@pytest.fixture(scope="module")
def published() -> Published:
    torch.set_num_threads(1)
    return Published()


def run_refresh(folder: Path) -> tuple[RefreshOutcome, float]:
    """Run one refresh; return its outcome and its CPU seconds."""
    started = time.process_time()
    outcome = refresh(str(folder / "labels"), folder / "predictors", TRAINERS, lambda *_: None, lambda _: None)
    return outcome, time.process_time() - started


def latest(folder: Path) -> Predictor:
    return Predictor.load(folder / "predictors" / "latest")


def test_twenty_slices(published: Published, tmp_path: Path) -> None:
    held_out = published.hold_out(tmp_path / "all")
    scores, total_cpu_s = list[float](), 0.0
    print()
    for number, rows in enumerate(np.array_split(np.arange(len(published.rows)), 20)):
        published.copy_rows(tmp_path, [published.rows[row] for row in rows])
        outcome, cpu_s = run_refresh(tmp_path)
        total_cpu_s += cpu_s if number else 0.0
        mean_score, _ = score(latest(tmp_path), held_out)
        scores.append(mean_score)
        summary = outcome.reason if isinstance(outcome, RefreshRecord) else "trained"
        used = champion_number(tmp_path / "predictors")
        print(f"slice {number + 1}: generation {used}, {mean_score:.3f}, CPU {cpu_s:.1f} s: {summary}")
    started = time.process_time()
    train_first(str(tmp_path / "labels"), _version(tmp_path), tmp_path / "from_scratch", lambda *_: None)
    from_scratch_s = time.process_time() - started
    mean_score, _ = score(Predictor.load(tmp_path / "from_scratch" / "latest"), held_out)
    print(f"from scratch on all labels: {mean_score:.3f}, CPU {from_scratch_s:.1f} s")
    print(f"19 refreshes: CPU {total_cpu_s:.1f} s")
    worst = min(after - before for before, after in itertools.pairwise(scores))
    assert worst > -MARGIN
    assert scores[-1] > scores[0]


def test_one_task_after_another(published: Published, tmp_path: Path) -> None:
    held_out = published.hold_out(tmp_path / "all")
    tasks = sorted({(row["task"], row["data"]) for row in published.rows})
    print()
    for number, task in enumerate(tasks):
        published.copy_rows(tmp_path, [row for row in published.rows if (row["task"], row["data"]) == task])
        older = [labels for labels in held_out if (labels.task, labels.data) in tasks[:number]]
        before = [latest(tmp_path).predict_set(labels) for labels in older] if number else []
        outcome, cpu_s = run_refresh(tmp_path)
        after = [latest(tmp_path).predict_set(labels) for labels in older]
        for labels, earlier, later in zip(older, before, after, strict=True):
            assert np.array_equal(earlier.mean, later.mean), labels.name
            assert np.array_equal(earlier.deviation, later.deviation), labels.name
        summary = outcome.reason if isinstance(outcome, RefreshRecord) else "trained"
        mean_score, by_task = score(latest(tmp_path), held_out)
        print(f"{task[0]}: {by_task['/'.join(task)]:.3f}, mean {mean_score:.3f}, CPU {cpu_s:.1f} s: {summary}")
    assert mean_score > 0.6


@pytest.mark.parametrize("poison", ["uniform", "shuffled"])
def test_a_poisoned_slice(published: Published, tmp_path: Path, poison: str) -> None:
    """A tenth of a slice's values is replaced, by random numbers between 0 and 1 or by values of other networks."""
    held_out, rng = published.hold_out(tmp_path / "all"), np.random.default_rng(1)
    published.copy_rows(tmp_path, published.rows[:1500])
    run_refresh(tmp_path)
    before, _ = score(latest(tmp_path), held_out)
    poisoned = [dict(row) for row in published.rows[1500:1750]]
    wrong = rng.choice(len(poisoned), len(poisoned) // 10, replace=False)
    for number in wrong:
        others = [row["value"] for row in poisoned if row["task"] == poisoned[number]["task"]]
        poisoned[number]["value"] = float(rng.uniform() if poison == "uniform" else rng.choice(others))
    published.copy_rows(tmp_path, poisoned)
    outcome, _ = run_refresh(tmp_path)
    assert isinstance(outcome, RefreshRecord)
    after, _ = score(latest(tmp_path), held_out)
    wrong_names = {poisoned[number]["architecture"] for number in wrong}
    outliers = {name for names in outcome.outliers.values() for name in names}
    print(f"\n{poison}: {before:.3f} -> {after:.3f}: {outcome.verdict}: {outcome.reason}")
    found = len(outliers & wrong_names)
    print(f"{found} of {len(wrong_names)} wrong labels are outliers, and {len(outliers) - found} others")
    assert after > before - MARGIN


def test_an_update_costs_a_fraction_of_training_from_scratch(published: Published, tmp_path: Path) -> None:
    """Two thousand labels, the last fifty of them new."""
    held_out = published.hold_out(tmp_path / "all")
    published.copy_rows(tmp_path, published.rows[:1950])
    run_refresh(tmp_path)
    before, _ = score(latest(tmp_path), held_out)
    published.copy_rows(tmp_path, published.rows[1950:2000])
    outcome, cpu_s = run_refresh(tmp_path)
    assert isinstance(outcome, RefreshRecord)
    after, _ = score(latest(tmp_path), held_out)
    started = time.process_time()
    train_first(str(tmp_path / "labels"), _version(tmp_path), tmp_path / "from_scratch", lambda *_: None)
    from_scratch_s = time.process_time() - started
    from_scratch, _ = score(Predictor.load(tmp_path / "from_scratch" / "latest"), held_out)
    print(f"\n{before:.3f} -> {after:.3f} in CPU {cpu_s:.1f} s: {outcome.reason}")
    print(f"from scratch: {from_scratch:.3f} in CPU {from_scratch_s:.1f} s")
    assert from_scratch_s >= 5 * cpu_s
    assert after > from_scratch - MARGIN


def test_freshness(published: Published, tmp_path: Path) -> None:
    """Time from a commit to a promoted generation that was trained on it, with the command and its own Ray."""
    command = [sys.executable, "-c", "from orchestrator.cli import main; main()", "refresh", "--json"]
    published.copy_rows(tmp_path, published.rows[:1980])
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    published.copy_rows(tmp_path, published.rows[1980:2000])
    started = time.monotonic()
    process = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    wall_s, document = time.monotonic() - started, json.loads(process.stdout.splitlines()[-1])
    print(f"\n{wall_s:.1f} s from the commit to generation {document['generation']}: {document['reason']}")
    assert document["decision"] == "promote"
    assert latest(tmp_path).metadata.version == _version(tmp_path)
    assert wall_s <= 90


def _version(folder: Path) -> int:
    return DeltaLabelStore(folder / "labels").version()
