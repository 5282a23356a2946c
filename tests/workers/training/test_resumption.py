"""A label whose worker is killed goes on from its checkpoint, to the same numbers to the last bit."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from workers import pulse
from workers.data import open_data
from workers.messages.evaluator_options import EvaluatorOptions
from workers.messages.label import LabelJob, LabelRequest
from workers.messages.recipe_files import load_recipe
from workers.spaces import get_space
from workers.storage.checkpoints import Checkpoint, FolderCheckpoints
from workers.tasks import task_names
from workers.training.full import FullEvaluator
from workers.training.optimization import Optimization
from workers.training.resumption import Resumption

multiprocessing.set_forkserver_preload(["workers.training.full"])
STEPS = 14
DATA = "shapes:train=24,held_out=8"


def job(task: str, checkpoint_s: float = 1e-9, **fields: Any) -> LabelJob:
    """Return a label of two trainings, with everything that depends on random numbers."""
    settings = {
        "input_size": (64, 64),
        "steps": 2 * STEPS,
        "batch": 4,
        "ema": 0.8,
        "zoom": 0.7,
        "passes": 2.4,
        "body": {"channels": [8, 8, 8, 8]},
        "checkpoint_s": checkpoint_s,
    }
    recipe = load_recipe("laptop", task, "nasbench201", settings | fields)
    architecture = next(get_space("nasbench201").sequence(1))
    fingerprint = open_data(DATA, task).fingerprint()
    return LabelJob(LabelRequest(architecture, task, DATA, fingerprint, "full", recipe, 3), "c")


def make(label: LabelJob, folder: Path | None, die_at: int = 0, answers: Any = None) -> dict[str, float]:
    """Make a label. die_at: step, over both trainings, after which this process kills itself."""
    torch.set_num_threads(1)
    beat = pulse.beat

    def beat_or_die(step: int | None = None, saved: int | None = None) -> None:
        beat(step, saved)
        if step == die_at > 0:
            os.kill(os.getpid(), signal.SIGKILL)

    pulse.beat = beat_or_die
    try:
        location = None if folder is None else str(folder)
        metrics = FullEvaluator(EvaluatorOptions(checkpoints_uri=location))(label).metrics
    finally:
        pulse.beat = beat
    if answers is not None:
        answers.put(metrics)
    return metrics


def kill_and_resume(label: LabelJob, folder: Path, die_at: int) -> dict[str, float]:
    context = multiprocessing.get_context("forkserver")  # a fork of this process may wait for threads it lacks
    victim = context.Process(target=make, args=(label, folder, die_at))
    victim.start()
    victim.join(60)
    assert victim.exitcode == -signal.SIGKILL
    answers = context.Queue()
    heir = context.Process(target=make, args=(label, folder, 0, answers))
    heir.start()
    metrics: dict[str, float] = answers.get(timeout=60)
    heir.join(60)
    return metrics


@pytest.mark.parametrize("task", task_names())
def test_a_killed_label_equals_an_undisturbed_one(task: str, tmp_path: Path) -> None:
    undisturbed = make(job(task), None)
    assert kill_and_resume(job(task), tmp_path, die_at=STEPS + 5) == undisturbed
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("task", task_names())
def test_kill_at_twenty_random_steps(task: str, tmp_path: Path) -> None:
    draw = random.Random(task)
    undisturbed = make(job(task), None)
    for number in range(20):
        folder, every = tmp_path / str(number), draw.choice([1e-9, 0.05, 0.3])
        die_at = draw.randrange(1, 2 * STEPS)
        assert kill_and_resume(job(task, every), folder, die_at) == undisturbed, (die_at, every)


def test_a_damaged_checkpoint_costs_its_steps_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    label = job("cls")
    undisturbed = make(label, None)
    (tmp_path / f"{label.request.key}.safetensors").write_bytes(b"torn")
    assert make(label, tmp_path) == undisturbed
    assert "starting from the first step" in caplog.text


def test_the_seconds_of_an_interrupted_label_count(tmp_path: Path) -> None:
    first = Resumption(FolderCheckpoints(tmp_path), "k", 1e-9)
    module = torch.nn.Linear(2, 2)
    recipe = job("cls").request.recipe
    optimization = Optimization(module, recipe)
    assert first.start(module, optimization, STEPS) == 0
    first.after_step(3, STEPS, module, optimization)
    second = Resumption(FolderCheckpoints(tmp_path), "k", 1e-9)
    assert second.seconds["train"] > 0
    assert second.start(module, optimization, STEPS) == 3
    assert pulse.read().step == pulse.read().saved == 3
    other_parts = Resumption(FolderCheckpoints(tmp_path), "k", 1e-9, split=2)
    assert other_parts.start(module, optimization, STEPS) == 0  # parts of another size give other numbers


def test_a_short_label_writes_no_checkpoint(tmp_path: Path) -> None:
    make(job("cls", checkpoint_s=600), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "facts", [{}, {"split": 1}, {"split": 1, "step": -1, "runs": [], "seconds": {}}, {"step": "x"}]
)
def test_facts_of_another_form_are_not_used(
    facts: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    FolderCheckpoints(tmp_path).save("k", Checkpoint({"weights.a": torch.ones(1)}, facts))
    resumed = Resumption(FolderCheckpoints(tmp_path), "k", 1.0)
    assert (resumed.runs, resumed.seconds) == ([], {})
    assert "starting from the first step" in caplog.text


@pytest.mark.parametrize(
    ("drop", "add"),
    [
        ("weights.weight", None),
        ("random.torch", None),
        (None, ("weights.bias", (3,))),
        (None, ("weights.more", (2,))),
        (None, ("optimizer.exp_avg.7", (2, 2))),
        (None, ("optimizer.exp_avg.0", (3, 2))),
        (None, ("optimizer.exp_avg.x", (2, 2))),
    ],
)
def test_tensors_of_another_network_are_not_used(
    drop: str | None, add: tuple[str, tuple[int, ...]] | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module = torch.nn.Linear(2, 2)
    optimization = Optimization(module, job("cls").request.recipe)
    first = Resumption(FolderCheckpoints(tmp_path), "k", 1e-9)
    first.start(module, optimization, STEPS)
    module(torch.ones(1, 2)).sum().backward()
    optimization.step(0, torch.zeros(()))
    first.after_step(3, STEPS, module, optimization)
    saved = FolderCheckpoints(tmp_path).load("k")
    assert saved is not None
    tensors = {name: value for name, value in saved.tensors.items() if name != drop}
    if add is not None:
        tensors[add[0]] = torch.ones(add[1])
    FolderCheckpoints(tmp_path).save("k", Checkpoint(tensors, saved.facts))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert Resumption(FolderCheckpoints(tmp_path), "k", 1.0).start(module, optimization, STEPS) == 0
    assert (drop or (add and add[0])) in caplog.text
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
