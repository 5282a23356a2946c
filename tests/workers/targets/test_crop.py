"""Random crops: what is annotated moves with the image, in every task."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from workers.data import open_data
from workers.targets.crop import CropWindow, sample_crop
from workers.targets.objects import Scene
from workers.targets.people import Crops
from workers.tasks import get_task, task_names
from workers.training.loading import CachedSplit

SIZE = (96, 128)
WHOLE, PART = CropWindow(0, 0, 128, 96), CropWindow(32, 24, 64, 48)
DATA = "shapes:train=12,held_out=6"


def example(task: str, index: int = 0) -> tuple[torch.Tensor, object]:
    data = open_data(DATA, task)
    image, position = get_task(task).units(data, "train")[index]
    return get_task(task).example(data.sample("train", image), position, SIZE)


@pytest.mark.parametrize("task", task_names())
def test_batches_are_cut_image_by_image(task: str) -> None:
    split = CachedSplit(open_data(DATA, task), "train", get_task(task), SIZE, None, 64)
    images, _ = split.batch([0, 0])
    same, _ = split.batch([0, 0], [WHOLE, WHOLE])
    cut, target = split.batch([0, 0], [WHOLE, PART])
    assert torch.equal(images, same)
    assert torch.equal(images[0], cut[0])
    # Twice enlarged, pixel (1, 1) of the part is a quarter from its first pixel to the next.
    near = images[1, :, 24:26, 32:34].float()
    assert (
        cut[1, :, 1, 1] - (near[:, 0, 0] * 9 + (near[:, 0, 1] + near[:, 1, 0]) * 3 + near[:, 1, 1]) / 16
    ).abs().max() < 1
    assert hasattr(target, "to")


def test_windows_lie_inside_and_cover_all_sizes() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [sample_crop(generator, SIZE, 0.5) for _ in range(300)]
    assert all(0 <= w.x <= 128 - w.width and 0 <= w.y <= 96 - w.height for w in drawn)
    assert min(w.width for w in drawn) in range(64, 67)
    assert max(w.width for w in drawn) in range(126, 129)
    assert {w.x == 0 for w in drawn} == {True, False}
    assert all(abs(w.width / w.height - 4 / 3) < 0.05 for w in drawn)


def test_maps_keep_their_numbers() -> None:
    _, target = example("seg")
    assert isinstance(target, torch.Tensor)
    cut = get_task("seg").zoom(target, PART)
    assert cut.dtype == target.dtype
    assert torch.equal(cut[::2, ::2], target[24:72, 32:96])
    assert torch.equal(cut[1::2, 1::2], target[24:72, 32:96])


@pytest.mark.parametrize("index", range(6))
def test_boxes_fit_their_masks(index: int) -> None:
    _, target = example("pano", index)
    assert isinstance(target, Scene)
    cut = target.zoom(PART)
    assert cut.masks is not None
    assert cut.semantic is not None
    assert cut.truth is target.truth
    assert len(cut.boxes) == len(cut.labels) == len(cut.crowd) == len(cut.masks)
    for box, mask, label in zip(cut.boxes, cut.masks, cut.labels, strict=True):
        rows, columns = np.nonzero(mask.numpy())
        # Masks are cut at pixels of the small image, two in the enlarged one; a slanted one may miss a corner.
        assert columns.min() >= box[0] - 2
        assert rows.max() <= box[3] + 2
        assert (cut.semantic[mask > 0] == label).float().mean() > 0.9


def test_what_is_mostly_cut_off_is_ignored() -> None:
    _, target = example("det")
    assert isinstance(target, Scene)
    boxes = torch.tensor([[40.0, 30, 60, 50], [20, 30, 36, 50], [20, 30, 44, 50], [0, 0, 30, 20]])
    scene = replace(target, boxes=boxes, labels=torch.arange(4), crowd=torch.zeros(4, dtype=torch.bool), masks=None)
    cut = scene.zoom(PART)
    assert cut.labels.tolist() == [0, 1, 2]  # the last is outside
    assert cut.boxes.tolist() == [[16, 12, 56, 52], [0, 12, 8, 52], [0, 12, 24, 52]]
    assert cut.crowd.tolist() == [False, True, False]  # a quarter of the second is left, half of the third


def test_joints_stay_where_they_are_in_the_image() -> None:
    _, target = example("pose")
    assert isinstance(target, Crops)
    cut = target.zoom(PART)
    assert torch.allclose(cut.in_image(cut.joints[:, :2]), target.in_image(target.joints[:, :2]), atol=1e-3)
    x, y = target.joints[:, 0], target.joints[:, 1]
    inside = (x > 31.5) & (x < 95.5) & (y > 23.5) & (y < 71.5)
    assert torch.equal(cut.joints[:, 2] > 0, inside & (target.joints[:, 2] > 0))
    assert (cut.box, cut.area, cut.size) == (target.box, target.area, target.size)
