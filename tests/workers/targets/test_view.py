"""Views: pixels and coordinates follow them alike, in every task."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F  # noqa: N812
from torchvision.tv_tensors import BoundingBoxFormat

from workers.data import VOID, open_data
from workers.targets.example import Example
from workers.targets.frame import Frame
from workers.targets.objects import settle_objects
from workers.targets.view import Colours, View
from workers.tasks import get_task

SIZE = (96, 128)
PART = (24, 32, 48, 64)
DATA = "shapes:train=12,held_out=6"
VIEWS = [
    View(SIZE, content, canvas, window, mirrored)
    for (content, canvas), window, mirrored in itertools.product(
        [(SIZE, SIZE), ((64, 96), (64, 128)), ((48, 64), (96, 64))], [None, PART], [False, True]
    )
]


def example(task: str, index: int = 0) -> Example:
    data, chosen = open_data(DATA, task), get_task(task)
    ref = chosen.list_examples(data, "train")[index]
    return chosen.load_example(data.sample("train", ref[0]), ref, Frame(SIZE), training=True)


def see(view: View, whole: Example) -> Example:
    moved = view.apply_to_coordinates(whole)
    return view.apply_to_pixels(settle_objects(moved, view) if "boxes" in moved else moved)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("index", range(3))
def test_boxes_fit_masks_in_any_view(view: View, index: int) -> None:
    seen = see(view, example("pano", index))
    assert seen["image"].shape == (3, *view.canvas)
    assert seen["semantic"].shape == seen["masks"].shape[1:] == view.canvas
    assert len(seen["boxes"]) == len(seen["labels"]) == len(seen["crowd"]) == len(seen["masks"]) > 0
    for box, mask, label in zip(seen["boxes"], seen["masks"], seen["labels"], strict=True):
        rows, columns = np.nonzero(mask.numpy())
        # Masks are cut at whole pixels, which are two pixels after resizing; a slanted mask may miss a corner.
        assert columns.min() >= box[0] - 2
        assert columns.max() <= box[2] + 2
        assert rows.min() >= box[1] - 2
        assert rows.max() <= box[3] + 2
        assert (seen["semantic"][mask] == label).float().mean() > 0.9
    assert (seen["semantic"][view.content[0] :] == VOID).all()
    assert (seen["image"][:, :, view.content[1] :] == 0).all()


@pytest.mark.parametrize("angle", [0.0, 30.0, -75.0])
@pytest.mark.parametrize("view", VIEWS)
def test_joints_stay_on_their_pixels(view: View, angle: float) -> None:
    """A white spot of the image is where the view puts a joint that was on the spot."""
    turned = View(view.stored, view.content, view.canvas, view.window, view.mirrored, angle)
    image = torch.zeros(3, *SIZE, dtype=torch.uint8)
    image[:, 44:49, 66:71] = 255
    seen = see(turned, {"image": image, "joints": torch.tensor([[68.0, 46.0, 2.0]])})
    rows, columns = torch.nonzero(seen["image"][0] > 100, as_tuple=True)
    x, y, visibility = seen["joints"][0].tolist()
    assert visibility == 2
    assert float(columns.float().mean()) == pytest.approx(x, abs=0.6)
    assert float(rows.float().mean()) == pytest.approx(y, abs=0.6)


@pytest.mark.parametrize("view", VIEWS)
def test_boxes_move_as_torchvision_moves_them(view: View) -> None:
    boxes, size = torch.tensor([[40.0, 30, 60, 50], [20, 30, 36, 50]]), SIZE
    expected = boxes
    if view.window is not None:
        expected, size = F.crop_bounding_boxes(boxes, BoundingBoxFormat.XYXY, *view.window, clamping_mode=None)
    expected, _ = F.resize_bounding_boxes(expected, size, list(view.content))
    if view.mirrored:
        expected = F.horizontal_flip_bounding_boxes(expected, BoundingBoxFormat.XYXY, view.content)
    assert torch.allclose(view.apply_to_coordinates({"boxes": boxes})["boxes"], expected, atol=1e-4)


def test_objects_that_are_mostly_cut_off_become_crowds() -> None:
    boxes = torch.tensor([[40.0, 30, 60, 50], [20, 30, 36, 50], [20, 30, 44, 50], [0, 0, 30, 20]])
    scene = {"image": torch.zeros(3, *SIZE), "boxes": boxes, "labels": torch.arange(4)}
    view = View(SIZE, SIZE, SIZE, PART)
    seen = settle_objects(view.apply_to_coordinates(scene | {"crowd": torch.zeros(4, dtype=torch.bool)}), view)
    assert seen["labels"].tolist() == [0, 1, 2]  # the last is outside
    assert seen["boxes"].tolist() == [[16, 12, 56, 52], [0, 12, 8, 52], [0, 12, 24, 52]]
    assert seen["crowd"].tolist() == [False, True, False]  # a quarter of the second is visible, half of the third


def test_maps_keep_their_ids() -> None:
    whole = example("seg")
    seen = see(View(SIZE, SIZE, SIZE, PART), whole)
    assert torch.equal(seen["semantic"][::2, ::2], whole["semantic"][24:72, 32:96])
    assert torch.equal(seen["semantic"][1::2, 1::2], whole["semantic"][24:72, 32:96])


def test_colours_change_the_image_alone() -> None:
    whole = example("pano")
    recoloured = see(View(SIZE, SIZE, SIZE, colours=Colours(1.2, 0.8, 0.5, 0.02)), whole)
    assert not torch.equal(recoloured["image"], whole["image"])
    assert all(torch.equal(value, whole[name]) for name, value in recoloured.items() if name != "image")


def test_frames_fit_images_of_both_orientations() -> None:
    frame = Frame((800, 1344), keep_ratio=True)
    assert (frame.content((480, 640), False), frame.canvas(False)) == ((800, 1067), (800, 1344))
    assert (frame.content((640, 480), True), frame.canvas(True)) == ((1067, 800), (1344, 800))
    assert frame.kept((480, 640)) == (480, 640)  # never enlarged on the disk
    assert frame.kept((1600, 2000)) == (800, 1000)
    assert Frame((64, 64), detail=2.0).kept((480, 640)) == (128, 128)


@pytest.mark.parametrize(
    ("stored", "content"), [((480, 640), (512, 683)), ((640, 480), (683, 512)), ((512, 512), (512, 512))]
)
def test_an_image_that_covers_the_input_keeps_its_ratio(stored: tuple[int, int], content: tuple[int, int]) -> None:
    assert Frame((512, 512), cover=True).content(stored, upright=False) == content
