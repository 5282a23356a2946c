"""Shared weights and heads as artifacts: a killed preparation resumes and ends with the same weights."""

import dataclasses
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from workers.data import open_data
from workers.errors import ArtifactError
from workers.loading.batches import SplitCache
from workers.messages.evaluator_options import EvaluatorOptions
from workers.messages.label import LabelJob, LabelRequest
from workers.messages.shared_recipe import SharedRecipe, load_shared_recipe
from workers.spaces import get_space
from workers.storage.artifacts import ArtifactFolder
from workers.supernet.evaluator import SharedEvaluator
from workers.supernet.preparation_step import PreparationStep
from workers.supernet.prepare import Preparation
from workers.tasks import get_task

TASKS = ("cls", "det", "iseg", "pano", "pose", "seg")
SMALL = {"channels": [8, 8, 8, 8], "reduction": "pool"}
DATA = "shapes:train=24,held_out=6"
TINY: dict[str, Any] = {
    "steps": 6,
    "batch": 4,
    "ema": 0.5,
    "body": SMALL,
    "input_size": (64, 64),
    "supernet": {
        "steps": 12,
        "batch": 8,
        "ema": 0.8,
        "sampled": 1,
        "save_every": 4,
        "data": DATA,
        "input_size": (32, 32),
    },
    "shared_head": {"steps": 6, "batch": 4, "ema": 0.5, "strata": 2},
}


def request(task: str = "seg", seed: int = 0, **changes: Any) -> LabelRequest:
    overrides = {**TINY, **{k: {**TINY[k], **v} if isinstance(v, dict) else v for k, v in changes.items()}}
    recipe = load_shared_recipe("laptop", task, "nasbench201", overrides)
    return LabelRequest(next(get_space("nasbench201").sequence(3)), task, DATA, "f", "shared", recipe, seed)


def preparation(folder: Path, label_request: LabelRequest) -> Preparation:
    assert isinstance(label_request.recipe, SharedRecipe)
    return Preparation(ArtifactFolder(folder), label_request, label_request.recipe)


def prepare(folder: Path, die_at: int = 0) -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)

    def report(step: PreparationStep) -> None:
        if step.step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    prepared = preparation(folder, request(shared_head={"method": "none"}))
    prepared.make(report)
    return load_file(folder / prepared.supernet_name / "weights.safetensors")


def test_a_killed_run_resumes_to_the_weights_of_an_uninterrupted_run(tmp_path: Path) -> None:
    whole = prepare(tmp_path / "whole")
    for die_at in (6, 11):  # after the first and after the second checkpoint
        victim = multiprocessing.get_context("spawn").Process(target=prepare, args=(tmp_path / "killed", die_at))
        victim.start()
        victim.join(120)
        assert victim.exitcode == -signal.SIGKILL
        (unfinished,) = (tmp_path / "killed" / "_unfinished").iterdir()
        assert int(load_file(unfinished)["step"]) == die_at // 4 * 4
    resumed = prepare(tmp_path / "killed")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    again = prepare(tmp_path / "killed", die_at=1)  # would die if it trained again
    assert all(torch.equal(value, again[name]) for name, value in whole.items())
    (made,) = (p for p in (tmp_path / "killed").iterdir() if p.is_dir() and p.name != "_unfinished")
    assert not list((tmp_path / "killed" / "_unfinished").iterdir())
    assert {p.name for p in made.iterdir()} == {"weights.safetensors", "manifest.json"}


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("method", ["latent", "swapping"])
@pytest.mark.parametrize("task", ["seg", "det"])
def test_a_killed_head_goes_on_to_the_same_weights(tmp_path: Path, task: str, method: str) -> None:
    torch.set_num_threads(1)
    label_request = request(task, shared_head={"method": method, "checkpoint_s": 1e-9, "swap_every": 2})

    def die(step: PreparationStep) -> None:
        if step.part == "shared head" and step.step == 4:
            raise _KilledError

    whole, killed = (preparation(tmp_path / name, label_request) for name in ("whole", "killed"))
    whole.make()
    with pytest.raises(_KilledError):
        killed.make(die)
    steps = list[PreparationStep]()
    killed.make(steps.append)
    assert [step.step for step in steps] == [5, 6]
    weights = [load_file(tmp_path / n / str(whole.head_name) / "weights.safetensors") for n in ("whole", "killed")]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


HEAD = {"steps": 8, "checkpoint_s": 1e-9, "calibration_images": 4, "per_stratum": 2}


def prepare_head(folder: Path, die_at: int) -> None:
    torch.set_num_threads(1)

    def report(step: PreparationStep) -> None:
        if step.part == "shared head" and step.step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    preparation(folder, request(shared_head=HEAD)).make(report)


def test_a_head_goes_on_after_kill_9_of_its_process(tmp_path: Path) -> None:
    whole, killed = (preparation(tmp_path / name, request(shared_head=HEAD)) for name in ("whole", "killed"))
    torch.set_num_threads(1)
    whole.make()
    for die_at in (3, 7):
        victim = multiprocessing.get_context("spawn").Process(target=prepare_head, args=(tmp_path / "killed", die_at))
        victim.start()
        victim.join(120)
        assert victim.exitcode == -signal.SIGKILL
        assert killed.missing == [killed.head_name]
    steps = list[PreparationStep]()
    killed.make(steps.append)
    assert [step.step for step in steps] == [8]
    weights = [load_file(tmp_path / n / str(whole.head_name) / "weights.safetensors") for n in ("whole", "killed")]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.mark.parametrize(
    ("changes", "same_weights", "same_head"),
    [
        ({"steps": 9, "train_body": False}, True, True),
        ({"supernet": {"save_every": 6, "cpus": 1}}, True, True),
        ({"shared_head": {"seed": 1}}, True, False),
        ({"shared_head": {"method": "swapping"}}, True, False),
        ({"supernet": {"seed": 1}}, False, False),
        ({"supernet": {"lr": 1e-3}}, False, False),
        ({"body": {"channels": [8, 8, 8, 16]}}, False, False),
    ],
)
def test_an_artifact_is_named_by_everything_it_depends_on(
    tmp_path: Path, changes: dict[str, Any], same_weights: bool, same_head: bool
) -> None:
    usual, other = preparation(tmp_path, request()), preparation(tmp_path, request(**changes))
    assert (usual.supernet_name == other.supernet_name, usual.head_name == other.head_name) == (same_weights, same_head)
    assert request().key != request(**changes).key or changes == {"supernet": {"save_every": 6, "cpus": 1}}


def test_labels_need_prepared_artifacts(tmp_path: Path) -> None:
    label_request = request()
    with pytest.raises(ArtifactError, match="orchestrator prepare"):
        SharedEvaluator(EvaluatorOptions(artifacts_uri=str(tmp_path)))(LabelJob(label_request, "c"))
    assert len(preparation(tmp_path, label_request).missing) == 2


@pytest.mark.parametrize("task", TASKS)
def test_every_task_gets_repeatable_labels(task: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    label_request = request(task)
    prepared, steps = preparation(tmp_path, label_request), list[PreparationStep]()
    prepared.make(steps.append)
    assert {(step.part, step.steps) for step in steps} == {("shared weights", 12), ("shared head", 6)}
    assert prepared.missing == []
    prepared.make(lambda step: pytest.fail("made it again"))
    options = EvaluatorOptions(artifacts_uri=str(tmp_path))
    evaluator = SharedEvaluator(options)
    first, again = evaluator(LabelJob(label_request, "c")), SharedEvaluator(options)(LabelJob(label_request, "c"))
    assert first.metrics == again.metrics
    assert 0 <= first.value <= 1
    other = evaluator(LabelJob(dataclasses.replace(label_request, seed=1), "c"))
    assert other.metrics.keys() == first.metrics.keys()


def test_a_frozen_backbone_keeps_the_shared_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    label_request = request(train_body=False, ema=0)
    preparation(tmp_path, label_request).make()
    evaluator, seen = SharedEvaluator(EvaluatorOptions(artifacts_uri=str(tmp_path))), list[dict[str, torch.Tensor]]()
    import workers.training.full

    train = workers.training.full.train_network

    def recorded(network: Any, *rest: Any) -> Any:
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        trained = train(network, *rest)
        seen.append(dict(trained.state_dict()))
        return trained

    monkeypatch.setattr(workers.training.full, "train_network", recorded)
    evaluator(LabelJob(label_request, "c"))
    before, after = seen
    assert all(torch.equal(value, after[name]) for name, value in before.items() if name.startswith("body."))
    assert any(not torch.equal(value, after[name]) for name, value in before.items() if name.startswith("head."))
    prepared = preparation(tmp_path, label_request).load(
        SplitCache().open(DATA, get_task("seg"), label_request.recipe)[1], open_data(DATA, "seg").vocabulary("seg")
    )
    backbone = prepared.backbones(label_request.architecture)
    assert all(torch.equal(value, before[f"body.{name}"]) for name, value in backbone.state_dict().items())
