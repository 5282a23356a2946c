"""How fast one core loads images, and whether a GPU would wait for them. Run with -m slow -s."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from tests.support.coco_like import write_coco_like
from workers.loading.batches import ImageSplit, LoaderProcesses
from workers.loading.plans import training_plans
from workers.loading.reader import ExampleReader, ExampleSource, pack_batch
from workers.messages.recipe import Recipe
from workers.messages.recipe_files import load_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
IMAGES = 192
# Images a second of one core before (Pillow, one thread), on one machine in one run with the new code.
BEFORE = {
    "det.paper": 55.6,
    "det.gpu": 163.7,
    "pose.gpu": 217.4,
    "iseg.paper": 33.8,
    "pano.paper": 27.9,
    "seg.gpu": 85.0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco_like(tmp_path_factory.mktemp("coco"), IMAGES)


@pytest.fixture(autouse=True)
def _one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AIOP_CACHE", str(tmp_path))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recipe_of(name: str, **fields: object) -> Recipe:
    task, tier = name.split(".")
    return load_recipe(tier, task, "nasbench201", fields)


def source_of(folder: Path, recipe: Recipe, fingerprint: str = "f") -> ExampleSource:
    return ExampleSource(f"coco:{folder}", recipe.task, recipe, training=True, fingerprint=fingerprint)


@pytest.mark.parametrize("name", BEFORE)
def test_images_a_second_of_one_core(folder: Path, name: str) -> None:
    recipe, rates = recipe_of(name), {}
    for state, fingerprint in (("decoded", ""), ("decoded and kept", "f"), ("kept", "f")):
        reader = ExampleReader(source_of(folder, recipe, fingerprint), memory_mb=0)
        plans = list(training_plans(reader.groups, recipe.batch, IMAGES // recipe.batch, 0))
        start = time.perf_counter()
        for plan in plans:
            pack_batch(reader, plan, pixels=False)  # they follow their views on the GPU
        rates[state] = len(plans) * recipe.batch / (time.perf_counter() - start)
    print(f"{name}: before {BEFORE[name]}", *(f", {state} {rate:.0f}" for state, rate in rates.items()))
    assert rates["kept"] > rates["decoded"]


@pytest.mark.parametrize(("name", "step_s"), [("det.paper", 0.4), ("det.gpu", 0.07), ("pose.gpu", 0.02)])
@pytest.mark.parametrize("epoch", ["first", "later"])
def test_busy_share_of_an_accelerator_with_two_loaders(folder: Path, name: str, step_s: float, epoch: str) -> None:
    """The accelerator is a pause that leaves the cores to the loaders. Its own work on pixels is not done."""
    recipe = recipe_of(name, ema=0)
    reader, steps = ExampleReader(source_of(folder, recipe), memory_mb=0), 3 * IMAGES // recipe.batch
    loaders = LoaderProcesses(reader, 2, torch.device("meta"))  # not the CPU
    for _ in loaders.load(training_plans(reader.groups, recipe.batch, steps if epoch == "later" else 8, 1)):
        pass  # the processes have started
    start = time.perf_counter()
    for loaded in loaders.load(training_plans(reader.groups, recipe.batch, steps, 0)):
        loaded.examples.unpack()
        time.sleep(step_s)
    share = steps * step_s / (time.perf_counter() - start)
    print(f"{name}, {epoch} epoch: busy {share:.3f} with steps of {step_s} s")
    if name == "det.paper":
        assert share >= 0.95


def test_memory_is_flat_on_ten_times_the_cache(folder: Path) -> None:
    """Resident memory of this process and its loaders after each of three epochs."""
    recipe = recipe_of("det.gpu", cache_mb=20, ema=0)  # 16 MiB for 160 MiB of training images
    split = ImageSplit(ExampleReader(source_of(folder, recipe), memory_mb=16), processes=1)
    sizes = []
    for epoch in range(3):
        for _ in split.training(IMAGES // recipe.batch, epoch):
            pass
        process = psutil.Process()
        sizes.append(sum(p.memory_info().rss for p in (process, *process.children(recursive=True))) / 2**20)
    print("MiB after each epoch:", *(f"{size:.0f}" for size in sizes))
    assert sizes[2] - sizes[0] < 0.03 * sizes[0]
