"""Published labels in slices: what a predictor that follows them is worth, and costs. Prints; minutes long.

AIOP_LABELS=/path/to/labels python -m pytest -m slow -n 0 -s tests/orchestrator/refresh/test_stream.py
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
from orchestrator.predictors.generations import champion
from orchestrator.predictors.refresh.run import RefreshOutcome, refresh
from orchestrator.store.delta import DeltaLabelStore
from predictor import Predictor
from tests.support import in_process_training as in_process
from tests.support.in_process_training import TRAINERS
from tests.support.published_labels import Published, score

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]
MARGIN = 0.02


@pytest.fixture(scope="module")
def published() -> Published:
    torch.set_num_threads(1)
    return Published()


def again(place: Path) -> tuple[RefreshOutcome, float]:
    """One refresh, and the CPU seconds it took."""
    began = time.process_time()
    outcome = refresh(str(place / "labels"), place / "predictors", TRAINERS, lambda *_: None, lambda _: None)
    return outcome, time.process_time() - began


def latest(place: Path) -> Predictor:
    return Predictor.load(place / "predictors" / "latest")


def test_twenty_slices(published: Published, tmp_path: Path) -> None:
    tested = published.hold_out(tmp_path / "all")
    scores, spent = list[float](), 0.0
    print()
    for number, rows in enumerate(np.array_split(np.arange(len(published.rows)), 20)):
        published.feed(tmp_path, [published.rows[row] for row in rows])
        outcome, cost = again(tmp_path)
        spent += cost if number else 0.0
        mean, _ = score(latest(tmp_path), tested)
        scores.append(mean)
        told = outcome.reason if isinstance(outcome, RefreshRecord) else "trained"
        used = champion(tmp_path / "predictors")
        print(f"slice {number + 1}: generation {used}, {mean:.3f}, CPU {cost:.1f} s: {told}")
    began = time.process_time()
    in_process.first(str(tmp_path / "labels"), _version(tmp_path), tmp_path / "anew", lambda *_: None)
    anew = time.process_time() - began
    mean, _ = score(Predictor.load(tmp_path / "anew" / "latest"), tested)
    print(f"anew from all labels: {mean:.3f}, CPU {anew:.1f} s; 19 refreshes CPU {spent:.1f} s")
    worst = min(after - before for before, after in itertools.pairwise(scores))
    assert worst > -MARGIN
    assert scores[-1] > scores[0]


def test_task_after_task(published: Published, tmp_path: Path) -> None:
    tested = published.hold_out(tmp_path / "all")
    tasks = sorted({(row["task"], row["data"]) for row in published.rows})
    print()
    for number, kind in enumerate(tasks):
        published.feed(tmp_path, [row for row in published.rows if (row["task"], row["data"]) == kind])
        older = [one for one in tested if (one.task, one.data) in tasks[:number]]
        before = [latest(tmp_path).predict_set(one) for one in older] if number else []
        outcome, cost = again(tmp_path)
        after = [latest(tmp_path).predict_set(one) for one in older]
        for one, was, now in zip(older, before, after, strict=True):
            assert np.array_equal(was.mean, now.mean), one.name
            assert np.array_equal(was.deviation, now.deviation), one.name
        told = outcome.reason if isinstance(outcome, RefreshRecord) else "trained"
        mean, found = score(latest(tmp_path), tested)
        print(f"{kind[0]}: {found['/'.join(kind)]:.3f}, mean {mean:.3f}, CPU {cost:.1f} s: {told}")
    assert mean > 0.6


@pytest.mark.parametrize("kind", ["uniform", "shuffled"])
def test_a_poisoned_slice(published: Published, tmp_path: Path, kind: str) -> None:
    """A tenth of a slice's values is replaced: by anything between 0 and 1, or by values of other networks."""
    tested, draw = published.hold_out(tmp_path / "all"), np.random.default_rng(1)
    published.feed(tmp_path, published.rows[:1500])
    again(tmp_path)
    before, _ = score(latest(tmp_path), tested)
    poisoned = [dict(row) for row in published.rows[1500:1750]]
    wrong = draw.choice(len(poisoned), len(poisoned) // 10, replace=False)
    for number in wrong:
        others = [row["value"] for row in poisoned if row["task"] == poisoned[number]["task"]]
        poisoned[number]["value"] = float(draw.uniform() if kind == "uniform" else draw.choice(others))
    published.feed(tmp_path, poisoned)
    outcome, _ = again(tmp_path)
    assert isinstance(outcome, RefreshRecord)
    after, _ = score(latest(tmp_path), tested)
    names = {poisoned[number]["architecture"] for number in wrong}
    found = {name for some in outcome.suspects.values() for name in some}
    print(f"\n{kind}: {before:.3f} -> {after:.3f}: {outcome.decision}: {outcome.reason}")
    print(f"{len(found & names)} of {len(names)} wrong labels are told, and {len(found - names)} others")
    assert after > before - MARGIN


def test_going_on_costs_a_fraction_of_training_anew(published: Published, tmp_path: Path) -> None:
    """Two thousand labels, of which the last fifty are new."""
    tested = published.hold_out(tmp_path / "all")
    published.feed(tmp_path, published.rows[:1950])
    again(tmp_path)
    before, _ = score(latest(tmp_path), tested)
    published.feed(tmp_path, published.rows[1950:2000])
    outcome, cost = again(tmp_path)
    assert isinstance(outcome, RefreshRecord)
    after, _ = score(latest(tmp_path), tested)
    began = time.process_time()
    in_process.first(str(tmp_path / "labels"), _version(tmp_path), tmp_path / "anew", lambda *_: None)
    anew, afresh = time.process_time() - began, score(Predictor.load(tmp_path / "anew" / "latest"), tested)[0]
    print(f"\n{before:.3f} -> {after:.3f} in CPU {cost:.1f} s; anew {afresh:.3f} in {anew:.1f} s: {outcome.reason}")
    assert anew >= 5 * cost
    assert after > afresh - MARGIN


def test_freshness(published: Published, tmp_path: Path) -> None:
    """From a commit to a promoted generation that has learnt from it, with the command, its Ray and all."""
    command = [sys.executable, "-c", "from orchestrator.cli import main; main()", "refresh", "--json"]
    published.feed(tmp_path, published.rows[:1980])
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    published.feed(tmp_path, published.rows[1980:2000])
    began = time.monotonic()
    ended = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    wall, told = time.monotonic() - began, json.loads(ended.stdout.splitlines()[-1])
    print(f"\n{wall:.1f} s from the commit to generation {told['generation']}: {told['reason']}")
    assert told["decision"] == "promote"
    assert latest(tmp_path).metadata.version == _version(tmp_path)
    assert wall <= 90


def _version(place: Path) -> int:
    return DeltaLabelStore(place / "labels").version()
