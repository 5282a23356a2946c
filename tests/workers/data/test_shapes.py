"""The built-in scenes: deterministic, complete and consistent annotations."""

import numpy as np
import pytest

from workers.data import VOID, open_data
from workers.errors import DataError, UnknownNameError


@pytest.mark.parametrize("task", ["cls", "det", "iseg", "seg", "pano", "pose"])
def test_every_task_is_supported(task: str) -> None:
    data = open_data("shapes", "seg")
    data.check(task)
    assert data.classes(task)


def test_a_scene_depends_on_seed_split_and_index_alone() -> None:
    first, again, other = open_data("shapes", "seg"), open_data("shapes", "seg"), open_data("shapes:seed=1", "seg")
    again.sample("train", 7)
    assert np.array_equal(first.sample("train", 3).image, again.sample("train", 3).image)
    assert not np.array_equal(first.sample("train", 3).image, first.sample("held-out", 3).image)
    assert not np.array_equal(first.sample("train", 3).image, other.sample("train", 3).image)
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert open_data("shapes:train=64", "seg").fingerprint() != first.fingerprint()


def test_annotations_agree_with_each_other() -> None:
    data, categories, figures = open_data("shapes", "seg"), set(), 0
    classes = data.classes("seg")
    for index in range(40):
        sample = data.sample("train", index)
        assert sample.semantic is not None
        assert sample.panoptic is not None
        assert sample.image.shape == (96, 128, 3)
        known = sample.semantic != VOID
        assert np.array_equal(sample.panoptic[known] // 1000, sample.semantic[known])
        assert known.mean() > 0.9
        assert set(np.unique(sample.semantic[known])) <= set(range(len(classes)))
        assert sample.instances[0].category == sample.category  # the main object is in front
        categories.add(sample.category)
        for number, thing in enumerate(sample.instances, start=1):
            assert np.array_equal(sample.panoptic == thing.category * 1000 + number, thing.mask)
            x0, y0, x1, y1 = (int(v) for v in thing.box)
            assert thing.mask[y0:y1, x0:x1].sum() == thing.mask.sum()
            if thing.joints is not None:
                figures += 1
                assert thing.joints.shape == (14, 3)
                visible = thing.joints[thing.joints[:, 2] > 0]
                assert ((visible[:, 0] < 128.5) & (visible[:, 1] < 96.5)).all()
    assert len(categories) == 7
    assert figures > 5


def test_classification_images_are_close_ups_of_the_object_in_front() -> None:
    scenes, close_ups = open_data("shapes", "seg"), open_data("shapes", "cls")
    assert close_ups.fingerprint() != scenes.fingerprint()
    for index in range(40):
        scene, sample = scenes.sample("train", index), close_ups.sample("train", index)
        assert sample.category == scene.category == scene.instances[0].category
        height, width = sample.image.shape[:2]
        assert 20 < height == width <= 96
        positions = [
            (y, x)
            for y in range(97 - height)
            for x in range(129 - width)
            if np.array_equal(scene.image[y : y + height, x : x + width], sample.image)
        ]
        assert len(positions) == 1  # the close-up is cropped from the scene
        (top, left), (x0, y0, x1, y1) = positions[0], scene.instances[0].box
        assert left <= (x0 + x1) / 2 <= left + width
        assert top <= (y0 + y1) / 2 <= top + height


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("shapes:sed=1", "'sed=1' is not one of"),
        ("shapes:train=many", "not one of"),
        ("shapes:train=²", "not one of"),
        pytest.param("shapes:train=" + "9" * 5000, "not one of", id="huge"),
        ("shapes:train=0", "a split would be empty"),
    ],
)
def test_wrong_options_are_one_line(spec: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_data(spec, "seg")


def test_unknown_format_and_task() -> None:
    with pytest.raises(UnknownNameError, match="choose one of"):
        open_data("shpaes", "seg")
    with pytest.raises(DataError, match="no annotations for task depth"):
        open_data("shapes", "seg").check("depth")
    with pytest.raises(IndexError):
        open_data("shapes", "seg").sample("train", 10**6)
