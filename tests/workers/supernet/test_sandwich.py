"""Training of shared weights: it learns, and a resumed run equals an uninterrupted one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.splits import image_split
from workers.data import DataSet, Sample, open_data
from workers.errors import DivergedFailure
from workers.loading.batches import ImageSplit
from workers.loading.reader import ExampleReader, ExampleSource
from workers.messages.architecture import Architecture
from workers.messages.shared_recipe import SupernetRecipe
from workers.spaces import get_space
from workers.storage.checkpoints import Checkpoint, FolderCheckpoints
from workers.supernet.sandwich import Supernet
from workers.tasks import get_task
from workers.tasks.base import LogitTask
from workers.training.calibration import calibrate
from workers.training.full import build_network

TASK, SPACE = get_task("cls"), get_space("nasbench201")
SPEC = "shapes:train=48,held_out=6"
DATA = open_data(SPEC, "cls")


@pytest.fixture(autouse=True)
def _single_thread() -> None:
    torch.set_num_threads(1)


def recipe(**changes: Any) -> SupernetRecipe:
    body = {"channels": [8, 8, 8, 8], "reduction": "pool"}
    fields = {
        "task": "cls",
        "input_size": (32, 32),
        "steps": 8,
        "batch": 8,
        "ema": 0.8,
        "sampled": 1,
        "body": body,
        "zoom": 0.7,
    }
    return SupernetRecipe(name="tiny", **(fields | changes))


def supernet(space: str = "nasbench201", **changes: Any) -> tuple[Supernet, ImageSplit]:
    chosen = recipe(**changes)
    split = image_split(SPEC, "cls", chosen.input_size, batch=chosen.batch, zoom=chosen.zoom)
    return Supernet(get_space(space), TASK, DATA.vocabulary("cls"), chosen), split


def weights(trained: Supernet) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trained.state().items()}


def equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(value, two[name]) for name, value in one.items())


def test_the_weights_depend_on_the_seed_alone() -> None:
    ends = []
    for seed in (0, 0, 1):
        trained, data = supernet(seed=seed)
        assert [step for step, _ in trained.train(data)] == list(range(1, 9))
        ends.append(weights(trained))
    assert equal(ends[0], ends[1])
    assert not equal(ends[0], ends[2])


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, data = supernet()
    for _ in whole.train(data):
        pass
    first, data = supernet()
    for step, _ in first.train(data):
        if step == 5:
            FolderCheckpoints(tmp_path).save("a", Checkpoint(first.state()))
            break
    second, data = supernet()
    checkpoint = FolderCheckpoints(tmp_path).load("a")
    assert checkpoint is not None
    second.load(checkpoint.tensors)
    assert [step for step, _ in second.train(data)] == [6, 7, 8]
    assert equal(weights(second), weights(whole))


class _Colours(DataSet):
    """Noise with more of one colour, which is the class."""

    spec = "colours"

    def check(self, task: str) -> None: ...

    def fingerprint(self) -> str:
        return "c"

    def classes(self, task: str) -> tuple[str, ...]:
        return "red", "green", "blue"

    def size(self, split: str) -> int:
        return 48

    def sample(self, split: str, index: int) -> Sample:
        image = np.random.default_rng(index).integers(0, 120, (32, 32, 3))
        image[..., index % 3] += 40
        return Sample(image.astype(np.uint8), index % 3, np.full((32, 32), index % 3, np.uint8))


# Six 1x1 convolutions are sampled too rarely in a few steps, and a map needs neighbours.
@pytest.mark.parametrize(
    ("teacher", "steps", "lr", "ops"),
    [("cls", 120, 1e-2, ("nor_conv_3x3", "skip_connect")), ("seg", 100, 5e-3, ("nor_conv_3x3",))],
)
def test_networks_that_share_weights_learn(teacher: str, steps: int, lr: float, ops: tuple[str, ...]) -> None:
    task, colours = get_task(teacher), _Colours()
    assert isinstance(task, LogitTask)
    chosen = recipe(steps=steps, lr=lr, task=teacher, head={"width": 8} if teacher == "seg" else {})
    data = ImageSplit(ExampleReader(ExampleSource("colours", teacher, chosen, training=True), colours))
    trained = Supernet(SPACE, task, colours.vocabulary(teacher), chosen)
    for _ in trained.train(data):
        pass
    whole = data.batch(range(len(data)))
    for op in ops:
        architecture = Architecture.of("nasbench201", {"ops": [op] * 6})
        network = build_network(architecture, chosen, task, colours.vocabulary(teacher)).eval()
        trained.averaged.copy_into(architecture, network)
        calibrate(network, [whole.images])
        predicted = network(whole.images).argmax(1)
        truth = whole.target if teacher == "cls" else whole.target[:, ::4, ::4]  # the map has one class
        assert float((predicted == truth).float().mean()) > 0.8


def test_the_smallest_network_of_a_family_is_part_of_every_step() -> None:
    trained, data = supernet(space="mobilenetv3", sampled=0, steps=1, body={}, ema=0)
    before = weights(trained)
    for _ in trained.train(data):
        pass
    after = weights(trained)
    moved = {name for name in before if name.startswith("weights.") and not torch.equal(before[name], after[name])}
    assert any("stages/0/0" in name for name in moved)
    assert [a == get_space("mobilenetv3").smallest_architecture() for a in trained._sample_networks(0)] == [False, True]


def test_without_the_sandwich_rule_only_sampled_networks_are_trained() -> None:
    trained, data = supernet(sandwich=False, steps=1, ema=0)
    (sampled,) = trained._sample_networks(0)
    before = weights(trained)
    for _ in trained.train(data):
        pass
    after = weights(trained)
    used = {SPACE.shared_name(name, sampled) for name, _ in trained._build(sampled).named_parameters()}
    changed = {name for name in before if name.startswith("weights.") and not torch.equal(before[name], after[name])}
    moved = {name.removeprefix("weights.weights.").replace("/", ".") for name in changed}
    assert moved <= used
    assert len(moved) > 4


def test_a_loss_that_is_not_finite_is_a_failure() -> None:
    trained, data = supernet(lr=1e30, steps=60, clip_norm=1e30)
    with pytest.raises(DivergedFailure, match="lower the learning rate"):
        for _ in trained.train(data):
            pass
