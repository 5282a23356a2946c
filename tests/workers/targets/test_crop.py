"""Random crops: in every task the annotations are cropped with the image."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from workers.data import open_data
from workers.targets.crop import CropWindow, sample_crop
from workers.targets.objects import ObjectTarget
from workers.targets.people import PersonCrops
from workers.tasks import get_task, task_names
from workers.training.loading import CachedSplit

SIZE = (96, 128)
WHOLE, PART = CropWindow(0, 0, 128, 96), CropWindow(32, 24, 64, 48)
DATA = "shapes:train=12,held_out=6"


def example(task: str, index: int = 0) -> tuple[torch.Tensor, object]:
    data = open_data(DATA, task)
    image, position = get_task(task).list_examples(data, "train")[index]
    return get_task(task).load_example(data.sample("train", image), position, SIZE)


@pytest.mark.parametrize("task", task_names())
def test_each_image_of_a_batch_has_its_own_window(task: str) -> None:
    split = CachedSplit(open_data(DATA, task), "train", get_task(task), SIZE, None, 64)
    images, _ = split.batch([0, 0])
    same, _ = split.batch([0, 0], [WHOLE, WHOLE])
    cut, target = split.batch([0, 0], [WHOLE, PART])
    assert torch.equal(images, same)
    assert torch.equal(images[0], cut[0])
    # At twice the size, pixel (1, 1) of the window is a quarter of the way from its first pixel to the second.
    near = images[1, :, 24:26, 32:34].float()
    assert (
        cut[1, :, 1, 1] - (near[:, 0, 0] * 9 + (near[:, 0, 1] + near[:, 1, 0]) * 3 + near[:, 1, 1]) / 16
    ).abs().max() < 1
    assert hasattr(target, "to")


def test_windows_are_inside_the_image_and_of_all_sizes() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [sample_crop(generator, SIZE, 0.5) for _ in range(300)]
    assert all(0 <= w.x <= 128 - w.width and 0 <= w.y <= 96 - w.height for w in drawn)
    assert min(w.width for w in drawn) in range(64, 67)
    assert max(w.width for w in drawn) in range(126, 129)
    assert {w.x == 0 for w in drawn} == {True, False}
    assert all(abs(w.width / w.height - 4 / 3) < 0.05 for w in drawn)


def test_cropped_maps_keep_their_ids() -> None:
    _, target = example("seg")
    assert isinstance(target, torch.Tensor)
    cut = get_task("seg").crop(target, PART)
    assert cut.dtype == target.dtype
    assert torch.equal(cut[::2, ::2], target[24:72, 32:96])
    assert torch.equal(cut[1::2, 1::2], target[24:72, 32:96])


@pytest.mark.parametrize("index", range(6))
def test_cropped_boxes_fit_cropped_masks(index: int) -> None:
    _, target = example("pano", index)
    assert isinstance(target, ObjectTarget)
    cut = target.crop(PART)
    assert cut.masks is not None
    assert cut.semantic is not None
    assert cut.truth is target.truth
    assert len(cut.boxes) == len(cut.labels) == len(cut.crowd) == len(cut.masks)
    for box, mask, label in zip(cut.boxes, cut.masks, cut.labels, strict=True):
        rows, columns = np.nonzero(mask.numpy())
        # Masks are cropped at whole pixels, which are two pixels after resizing; a slanted mask may miss a corner.
        assert columns.min() >= box[0] - 2
        assert rows.max() <= box[3] + 2
        assert (cut.semantic[mask > 0] == label).float().mean() > 0.9


def test_objects_that_are_mostly_cut_off_become_crowds() -> None:
    _, target = example("det")
    assert isinstance(target, ObjectTarget)
    boxes = torch.tensor([[40.0, 30, 60, 50], [20, 30, 36, 50], [20, 30, 44, 50], [0, 0, 30, 20]])
    scene = replace(target, boxes=boxes, labels=torch.arange(4), crowd=torch.zeros(4, dtype=torch.bool), masks=None)
    cut = scene.crop(PART)
    assert cut.labels.tolist() == [0, 1, 2]  # the last is outside
    assert cut.boxes.tolist() == [[16, 12, 56, 52], [0, 12, 8, 52], [0, 12, 24, 52]]
    assert cut.crowd.tolist() == [False, True, False]  # a quarter of the second is visible, half of the third


def test_cropped_joints_have_the_same_place_in_the_image() -> None:
    _, target = example("pose")
    assert isinstance(target, PersonCrops)
    cut = target.crop(PART)
    assert torch.allclose(
        cut.to_image_pixels(cut.joints[:, :2]), target.to_image_pixels(target.joints[:, :2]), atol=1e-3
    )
    x, y = target.joints[:, 0], target.joints[:, 1]
    inside = (x > 31.5) & (x < 95.5) & (y > 23.5) & (y < 71.5)
    assert torch.equal(cut.joints[:, 2] > 0, inside & (target.joints[:, 2] > 0))
    assert (cut.box, cut.area, cut.size) == (target.box, target.area, target.size)
