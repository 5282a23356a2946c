"""Batches of a training: order of images, crops and mirroring."""

from __future__ import annotations

import torch

from workers.data import open_data
from workers.messages.recipe import Recipe
from workers.tasks import get_task
from workers.training.batches import training_batches
from workers.training.loading import CachedSplit


def _recipe(**fields: object) -> Recipe:
    return Recipe.model_validate({"name": "t", "task": "seg", "steps": 12, "batch": 4, "ema": 0} | fields)


def test_every_image_once_an_epoch() -> None:
    seen = [i for batch in training_batches(16, _recipe(), 0) for i in batch.indices]
    for epoch in range(3):
        assert sorted(seen[16 * epoch : 16 * epoch + 16]) == list(range(16))


def test_the_order_depends_on_the_seed_and_not_on_crops() -> None:
    whole, cut = list(training_batches(16, _recipe(), 1)), list(training_batches(16, _recipe(zoom=0.5), 1))
    assert [(b.indices, b.mirrored) for b in whole] == [(b.indices, b.mirrored) for b in cut]
    assert not whole[0].windows
    assert len(cut[0].windows) == 4
    assert [b.indices for b in whole] != [b.indices for b in training_batches(16, _recipe(), 2)]


def test_crops_can_be_limited_to_small_data_sets() -> None:
    few, many = (next(training_batches(count, _recipe(zoom=0.5, zoom_below=16), 0)) for count in (15, 16))
    assert (len(few.windows), len(many.windows)) == (4, 0)


def test_parts_add_up_to_the_batch() -> None:
    batch = next(training_batches(16, _recipe(zoom=0.5), 0))
    parts = batch.parts(3)
    assert sorted(i for part in parts for i in part.indices) == sorted(batch.indices)
    assert all(len(part.windows) == len(part.indices) for part in parts)
    assert len(batch.parts(9)) == 4


def test_mirrored_images_come_with_mirrored_targets() -> None:
    data = CachedSplit(open_data("shapes", "seg"), "train", get_task("seg"), (48, 64), 16, 8)
    batch = next(b for b in training_batches(16, _recipe(), 0) if b.mirrored)
    images, target = batch.load(data, get_task("seg"))
    plain_images, plain_target = data.batch(batch.indices)
    assert torch.equal(images.flip(-1), plain_images)
    assert torch.equal(target.flip(-1), plain_target)
