"""Batches are the same for any number of processes, any part of a batch, and from any step on."""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psutil
import pytest
import torch

from tests.support.splits import image_split
from workers.data import open_data
from workers.errors import LoaderLostFailure
from workers.execution.attempt import outcome_of
from workers.loading.augmentation import draw_view, draws, frame_of, whole_view
from workers.loading.batches import Batch, ImageSplit, SplitCache
from workers.loading.plans import evaluation_plans, training_plans
from workers.loading.reader import ExampleReader, ExampleSource
from workers.messages.label import Outcome
from workers.messages.recipe import Recipe
from workers.targets.frame import Frame
from workers.targets.view import View
from workers.tasks import get_task, task_names

DATA = "shapes:train=12,held_out=6"
AUGMENTED = {"zoom": 0.6, "colour_jitter": 0.5}


def same(one: Any, other: Any) -> bool:
    """Return whether two batches, targets or parts of them are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return pickle.dumps(one) == pickle.dumps(other)


def raising(error: Exception) -> Callable[[object], None]:
    def fail(_: object) -> None:
        raise error

    return fail


def split_of(task: str, processes: int, training: bool, **fields: object) -> ImageSplit:
    recipe = Recipe.model_validate({"name": "t", "task": task, "input_size": (64, 96), "batch": 4, "ema": 0} | fields)
    return ImageSplit(ExampleReader(ExampleSource(DATA, task, recipe, training)), processes)


@pytest.mark.parametrize("task", task_names())
def test_any_number_of_processes_loads_the_same_batches(task: str) -> None:
    alone = split_of(task, 0, True, **AUGMENTED)
    expected, whole = list(alone.training(6, 3)), list(split_of(task, 0, False).evaluation(4))
    for processes in (1, 2):
        split, held_out = (split_of(task, processes, training, **AUGMENTED) for training in (True, False))
        assert same(list(split.training(6, 3)), expected)
        assert same(list(split.training(6, 3, first=2)), expected[2:])  # the same processes, from a later step on
        interrupted = split.training(6, 3)
        next(interrupted)
        assert same(list(split.training(6, 3)), expected)  # after a training that was given up
        assert same(list(held_out.evaluation(4)), whole)


@pytest.mark.parametrize("error", [None, ConnectionResetError(104, "Connection reset by peer"), EOFError()])
def test_a_loader_that_dies_is_replaced(error: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    split = split_of("seg", 2, True)
    expected = list(split.training(4, 3))
    batches = split.training(400, 3)
    next(batches)
    if error is not None:  # as happens if it dies while it hands over a batch
        monkeypatch.setattr("torch.utils.data.dataloader._MultiProcessingDataLoaderIter._get_data", raising(error))
    loaders = {process.pid for process in multiprocessing.active_children()}
    for child in psutil.Process().children(recursive=True):
        if child.pid in loaders:
            child.kill()
    with pytest.raises(LoaderLostFailure, match=r"^a process that loads images died .*/dev/shm$") as caught:
        list(batches)
    assert outcome_of(caught.value) is Outcome.CRASH  # so the label is tried again
    monkeypatch.undo()
    assert same(list(split.training(4, 3)), expected)


@pytest.mark.parametrize("task", task_names())
def test_training_goes_on_at_any_step(task: str) -> None:
    split = split_of(task, 0, True, **AUGMENTED)
    whole = list(split.training(8, 5))
    assert all(same(list(split.training(8, 5, first=first)), whole[first:]) for first in range(9))
    assert not same(whole, list(split.training(8, 6)))


def test_each_image_of_a_batch_is_mirrored_and_cropped_on_its_own() -> None:
    split, plain = split_of("seg", 0, True, flip=0.5), split_of("seg", 0, True, flip=0.0)
    found = set()
    for (batch,), (whole,) in zip(split.training(6, 0), plain.training(6, 0), strict=True):
        for i, image in enumerate(batch.images):
            mirrored = not torch.equal(image, whole.images[i])
            found.add(mirrored)
            assert torch.equal(image.flip(-1) if mirrored else image, whole.images[i])
            assert torch.equal(batch.target[i].flip(-1) if mirrored else batch.target[i], whole.target[i])
    assert found == {True, False}


def test_parts_have_the_images_of_the_whole_batch() -> None:
    split = split_of("seg", 0, True, **AUGMENTED)
    for (whole,), parts in zip(split.training(3, 0), split.training(3, 0, parts=3), strict=True):
        assert [part.share for part in parts] == [0.5, 0.25, 0.25]
        assert same(whole.images, torch.stack([parts[i % 3].images[i // 3] for i in range(4)]))
        assert same(whole.target, torch.stack([parts[i % 3].target[i // 3] for i in range(4)]))
    for (whole,), (own,) in zip(split.training(3, 0), split.training(3, 0, parts=2, only=1), strict=True):
        assert same(whole.images[1::2], own.images)
    assert len(next(split.training(1, 0, parts=9))) == 4


def test_every_image_once_an_epoch_in_batches_of_one_kind() -> None:
    plans = list(training_plans([0] * 16, 4, 12, 0))
    seen = [index for plan in plans for index in plan.indices]
    assert all(sorted(seen[16 * epoch : 16 * epoch + 16]) == list(range(16)) for epoch in range(3))
    groups = [index % 3 == 0 for index in range(30)]
    for plan in training_plans(groups, 4, 50, 0):
        assert len({groups[index] for index in plan.indices}) == 1
    assert [plan.indices for plan in evaluation_plans(groups, 8)][-1] == (24, 27)
    assert sorted(i for plan in evaluation_plans(groups, 8) for i in plan.indices) == list(range(30))


def test_the_order_depends_on_the_seed_and_not_on_crops() -> None:
    orders = [[plan.indices for plan in training_plans([0] * 16, 4, 12, seed)] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_crops_can_be_limited_to_small_data_sets() -> None:
    few, many, plain = (
        next(image_split(DATA, "seg", (64, 96), batch=4, flip=0, **fields).training(1, 0))[0].images
        for fields in ({"zoom": 0.5, "zoom_below": 13}, {"zoom": 0.5, "zoom_below": 12}, {})
    )
    assert torch.equal(many, plain)
    assert not torch.equal(few, plain)


@pytest.mark.parametrize(
    "fields",
    [
        {"keep_ratio": True, "input_size": (64, 64)},
        {"scale_range": (0.5, 2.0)},
        {"keep_ratio": True, "scale_range": (0.5, 2.0)},
        {"crop_area": (0.1, 1.0)},
        {"zoom": 0.5},
    ],
)
@pytest.mark.parametrize("task", ["det", "seg", "cls"])
def test_every_way_to_crop_gives_inputs_of_one_size(task: str, fields: dict[str, object]) -> None:
    split = split_of(task, 0, True, **fields)
    shapes = {tuple(batch.images.shape) for (batch,) in split.training(8, 0)}
    height, width = split.reader.source.recipe.input_size
    assert shapes == {(4, 3, height, width)}


def test_people_are_turned_and_scaled_around_their_middle() -> None:
    plain, turned = (
        split_of("pose", 0, True, flip=0, **fields) for fields in ({}, {"rotation": 40, "scale_range": (0.7, 1.4)})
    )
    for (one,), (other,) in zip(plain.training(4, 0), turned.training(4, 0), strict=True):
        middle = torch.tensor([47.5, 31.5])
        distances = [(batch.target.joints[..., :2] - middle).norm(dim=-1) for batch in (one, other)]
        ratios = (distances[1] / distances[0]).flatten(1)
        # A person's joints keep their shape: all distances from the middle have the same ratio.
        assert float((ratios / ratios.mean(1, keepdim=True) - 1).abs().max()) < 0.12  # whole pixels
        assert bool(((ratios.mean(1) > 1 / 1.45) & (ratios.mean(1) < 1 / 0.65)).all())
    assert next(split_of("pose", 0, True, keep_ratio=True).training(1, 0))[0].images.shape == (4, 3, 64, 96)
    evaluated = split_of("pose", 0, False, rotation=40).batch([0, 1])
    assert same(evaluated.target, split_of("pose", 0, False).batch([0, 1]).target)


def batches_of(cache: SplitCache, recipe: Recipe, fingerprint: str) -> Iterator[Sequence[Batch]]:
    _, train, _ = cache.open(DATA, get_task("seg"), recipe, fingerprint)
    return train.training(4, 0)


def test_batches_from_the_disk_are_the_same(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOP_CACHE", str(tmp_path))
    recipe = Recipe(name="t", task="seg", input_size=(64, 96), batch=4, ema=0)
    fingerprint = open_data(DATA, "seg").fingerprint()
    first = list(batches_of(SplitCache(), recipe, fingerprint))
    assert any(tmp_path.rglob("*.bin"))
    with monkeypatch.context() as patch:
        patch.setattr("workers.data.shapes.Shapes.sample", lambda *_: pytest.fail("decoded again"))
        assert same(list(batches_of(SplitCache(), recipe, fingerprint)), first)
    assert same(list(itertools.chain(batches_of(SplitCache(), recipe, ""))), first)


def frame_and_view(recipe: Recipe, stored: tuple[int, int], *, training: bool) -> tuple[Frame, View]:
    frame = frame_of(recipe, training=training)
    upright = frame.keep_ratio and stored[0] > stored[1]
    if training:
        draw = draws(0, 0, 0)
        return frame, draw_view(
            recipe, frame, stored, frame.kept(stored), draw, crop=False, upright=upright, centred=False
        )
    return frame, whole_view(frame, stored, frame.kept(stored), upright=upright, centred=False)


def test_classification_evaluates_the_central_crop() -> None:
    recipe = Recipe(name="t", task="cls", input_size=(224, 224), cover=True, eval_crop=0.875)
    frame, view = frame_and_view(recipe, (300, 400), training=False)
    # As torchvision's Resize(256) and CenterCrop(224): the image becomes 256 x 341, its centre is used.
    assert frame.kept((300, 400)) == (256, 342)
    assert (view.window, view.content, view.canvas) == ((16, 59, 224, 224), (224, 224), (224, 224))


def test_segmentation_crops_scaled_images_and_evaluates_whole_ones() -> None:
    fields: dict[str, Any] = {"cover": True, "scale_range": (0.5, 2.0), "eval_size": (512, 704)}
    recipe = Recipe(name="t", task="seg", input_size=(512, 512), flip=0, **fields)
    for step in range(40):
        frame = frame_of(recipe, training=True)
        stored, kept = (512, 683), frame.kept((512, 683))
        view = draw_view(recipe, frame, stored, kept, draws(0, step, 0), crop=False, upright=False, centred=False)
        assert view.canvas == (512, 512)
        assert view.window is not None
        height, width = view.content[0] / view.window[2], view.content[1] / view.window[3]
        assert height == pytest.approx(width, rel=0.01)  # not stretched
        assert 0.49 < height < 2.01
    frame, view = frame_and_view(recipe, (512, 683), training=False)
    assert (view.window, view.content, view.canvas) == (None, (512, 683), (512, 704))
    assert frame_and_view(recipe, (683, 512), training=False)[1].canvas == (704, 512)


def test_padding_is_zero_after_normalisation() -> None:
    fields: dict[str, Any] = {"pixel_mean": (10.0, 20.2, 30.0), "pixel_std": (1.0, 1.0, 1.0), "keep_ratio": True}
    split = image_split("shapes:train=12,held_out=6", "det", (96, 160), batch=2, **fields)
    batch = split.batch([0, 1])
    assert batch.contents == ((96, 128), (96, 128))
    assert batch.images[:, :, :, 128:].amax((0, 2, 3)).tolist() == [10, 20, 30]
    assert batch.images[:, :, :, 128:].amin((0, 2, 3)).tolist() == [10, 20, 30]
