"""Shared weights trained by two Ray Train workers, one of which is killed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from orchestrator.campaign.preparation import missing_artifacts, prepare
from tests.support.splits import image_split
from workers.data import open_data
from workers.messages.label import LabelRequest
from workers.messages.shared_recipe import SharedRecipe, load_shared_recipe
from workers.spaces import get_space
from workers.supernet.preparation_step import PreparationStep
from workers.supernet.sandwich import Supernet
from workers.tasks import get_task

SMALL = {"channels": [8, 8, 8, 8], "reduction": "pool"}
DATA = "shapes:train=24,held_out=6"
SUPERNET = {"steps": 40, "batch": 8, "ema": 0.8, "sampled": 1, "save_every": 10, "data": DATA, "input_size": (32, 32)}


def small_request(**changes: object) -> LabelRequest:
    overrides = {
        "steps": 6,
        "batch": 4,
        "ema": 0.5,
        "body": SMALL,
        "input_size": (64, 64),
        "supernet": SUPERNET | changes,
        "shared_head": {"method": "none"},
    }
    recipe = load_shared_recipe("laptop", "pose", "nasbench201", overrides)
    return LabelRequest(next(get_space("nasbench201").sequence(3)), "pose", DATA, "f", "shared", recipe, 0)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the workers, because more threads add in a different order
    yield
    torch.set_num_threads(before)


def test_workers_stay_equal_and_see_other_images_than_a_single_worker() -> None:
    request = small_request(workers=2, steps=4, ema=0)
    assert isinstance(request.recipe, SharedRecipe)
    distributed = train_in_threads(request)
    whole = request.recipe.supernet.model_copy(update={"workers": 1})
    data, task = open_data(DATA, "cls"), get_task("cls")
    alone = Supernet(get_space("nasbench201"), task, data.vocabulary("cls"), whole)
    for _ in alone.train(image_split(DATA, "cls", whole.input_size, batch=whole.batch, zoom=whole.zoom)):
        pass
    differences = [float((v - distributed[k]).abs().max()) for k, v in alone.averaged.state_dict().items()]
    assert 0 < max(differences) < 0.05  # batch norms see half a batch


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_two_workers_resume_after_the_death_of_one(tmp_path: Path) -> None:
    request, steps = small_request(workers=2, cpus=1), list[PreparationStep]()
    killed = list[int]()

    def watch(step: PreparationStep) -> None:
        steps.append(step)
        if step.step >= 12 and not killed:
            killed.append(kill_a_training_worker())

    prepare(str(tmp_path), request, watch)
    assert killed
    assert steps[-1].steps == 40
    assert not missing_artifacts(str(tmp_path), request)
    (artifact,) = (path for path in tmp_path.iterdir() if path.is_dir() and path.name != "_unfinished")
    assert {path.name for path in artifact.iterdir()} == {"weights.safetensors", "manifest.json"}
    distributed, wanted = load_file(artifact / "weights.safetensors"), train_in_threads(request)
    assert distributed.keys() == wanted.keys()
    assert all(torch.allclose(value, wanted[name], atol=1e-5) for name, value in distributed.items())


def train_in_threads(request: LabelRequest) -> dict[str, torch.Tensor]:
    """Return the weights of two workers that were never killed, here in two threads."""
    assert isinstance(request.recipe, SharedRecipe)
    recipe, task, data = request.recipe.supernet, get_task("cls"), open_data(DATA, "cls")
    barrier, gradients = threading.Barrier(2), dict[int, torch.Tensor]()

    def average(parameters: Iterable[nn.Parameter]) -> None:
        own = [p.grad for p in parameters if p.grad is not None]
        gradients[threading.get_ident()] = torch.cat([g.flatten() for g in own])
        barrier.wait()
        mean = sum(gradients.values()) / 2
        barrier.wait()
        for gradient, part in zip(own, torch.split(mean, [g.numel() for g in own]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def train(rank: int) -> Supernet:
        split = image_split(DATA, "cls", recipe.input_size, batch=recipe.batch, zoom=recipe.zoom)
        with seed_lock:  # initialisation seeds torch's global generator
            supernet = Supernet(get_space("nasbench201"), task, data.vocabulary("cls"), recipe, rank)
        for _ in supernet.train(split):
            pass
        return supernet

    seed_lock = threading.Lock()
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr("workers.supernet.sandwich.average_gradients", average)
        first, second = pool.map(train, (0, 1))
    results = [{k: v.detach() for k, v in s.averaged.state_dict().items()} for s in (first, second)]
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())
    return results[0]


def kill_a_training_worker() -> int:
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        if any("TrainWorker" in part for part in process.info["cmdline"] or []):
            os.kill(process.pid, 9)
            return int(process.pid)
    return 0
