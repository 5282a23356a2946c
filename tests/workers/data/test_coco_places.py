"""`coco:DIR`: images and annotations are found in one place, in the layouts of downloads and exports, or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.small_coco import content, write_images, write_json, write_small_coco
from workers.data import open_data
from workers.data.coco.json import Record
from workers.errors import DataError

NAMES = ["1.png", "2.png"]


def _shade(spec: str, split: str, task: str = "det") -> int:
    """Return the shade of a split's images, after a check."""
    data = open_data(spec, task)
    data.check(task)
    return int(data.sample(split, 1).image[0, 0, 1])


def _instances() -> Record:
    return content("instances", NAMES)


def _roboflow(folder: Path) -> None:
    for part, shade in (("train", 0), ("valid", 100), ("test", 200)):
        write_images(folder / part, NAMES, shade)
        write_json(folder / part / "_annotations.coco.json", _instances())


def _cvat(folder: Path) -> None:
    for part, shade in (("Train", 0), ("Validation", 100)):
        write_images(folder / "images" / part, NAMES, shade)
        write_json(folder / f"annotations/instances_{part}.json", _instances())


def _fiftyone(folder: Path) -> None:
    for part, shade in (("train", 0), ("validation", 100)):
        write_images(folder / part / "data", NAMES, shade)
        write_json(folder / part / "labels.json", _instances())


def _label_studio(folder: Path) -> None:
    for part, shade in (("train", 0), ("val", 100)):
        write_images(folder / part / "images", NAMES, shade)
        write_json(folder / part / "result.json", content("instances", [f"images/{name}" for name in NAMES]))


def _coco_2014(folder: Path) -> None:
    for part, shade in (("train2014", 0), ("val2014", 100)):
        write_images(folder / part, NAMES, shade)
        write_json(folder / f"annotations/instances_{part}.json", _instances())


def _coco_2017(folder: Path) -> None:
    for part, shade in (("train2017", 0), ("val2017", 100)):
        write_images(folder / "images" / part, NAMES, shade)
        write_json(folder / f"annotations/instances_{part}.json", _instances())


def _training(folder: Path) -> None:
    for part, shade in (("training", 0), ("validation", 100)):
        write_images(folder / part, NAMES, shade)
        write_json(folder / f"annotations/instances_{part}.json", _instances())


@pytest.mark.parametrize("write", [_roboflow, _cvat, _fiftyone, _label_studio, _coco_2014, _coco_2017, _training])
def test_layouts_of_exports(tmp_path: Path, write: Callable[[Path], None]) -> None:
    """The names of the images of both subsets are the same, and still each subset has its own."""
    write(tmp_path)
    assert (_shade(f"coco:{tmp_path}", "train"), _shade(f"coco:{tmp_path}", "held-out")) == (0, 100)


def test_people_of_an_export(tmp_path: Path) -> None:
    _roboflow(tmp_path)
    for part in ("train", "valid"):
        write_json(tmp_path / part / "_annotations.coco.json", content("person_keypoints", NAMES))
    assert _shade(f"coco:{tmp_path}", "held-out", "pose") == 100


def test_an_unknown_layout_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", _instances())
    message = r"instances_train\.json does not exist: add it, .*; recognised too: .*Roboflow.*; it has result\.json$"
    with pytest.raises(DataError, match=message) as caught:
        open_data(f"coco:{tmp_path}", "det").check("det")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("subset", ["test", "unlabelled", "fold3"])
def test_a_file_named_after_another_subset_has_its_images(tmp_path: Path, subset: str) -> None:
    write_small_coco(tmp_path)
    write_images(tmp_path / "images" / subset, NAMES, 200)
    shutil.copy(tmp_path / "annotations/instances_val.json", tmp_path / f"annotations/instances_{subset}.json")
    assert _shade(f"coco:{tmp_path},val=annotations/instances_{subset}.json", "held-out") == 200


def test_a_place_with_some_of_the_images_is_not_passed_over(tmp_path: Path) -> None:
    """Those of train have the same names, and would be taken for the missing ones."""
    write_small_coco(tmp_path)
    (tmp_path / "images/val/2.png").unlink()
    with pytest.raises(DataError, match=r"images/val/2\.png does not exist, but .*instances_val\.json lists it"):
        open_data(f"coco:{tmp_path}", "det").check("det")
    with pytest.raises(DataError, match=r"images/val/2\.png does not exist"):
        open_data(f"coco:{tmp_path},val=annotations/instances_val.json", "det").check("det")


def test_images_next_to_their_file_come_first(tmp_path: Path) -> None:
    write_small_coco(tmp_path)
    write_images(tmp_path / "mine", NAMES, 50)
    shutil.copy(tmp_path / "annotations/instances_val.json", tmp_path / "mine/val.json")
    assert _shade(f"coco:{tmp_path},val=mine/val.json", "held-out") == 50


def test_two_folders_with_different_images_are_refused_and_with_the_same_ones_accepted(tmp_path: Path) -> None:
    write_small_coco(tmp_path)
    shutil.copytree(tmp_path / "images/val", tmp_path / "val")
    assert _shade(f"coco:{tmp_path}", "held-out") == 100
    write_images(tmp_path / "val", NAMES, 50)
    with pytest.raises(DataError, match=r"images/val and .*/val both hold images with the names in .*: put the file"):
        open_data(f"coco:{tmp_path}", "det").check("det")
    shutil.rmtree(tmp_path / "val")
    (tmp_path / "val").symlink_to(tmp_path / "images/val")
    assert _shade(f"coco:{tmp_path}", "held-out") == 100


def test_a_file_without_a_subset_in_its_name_and_two_candidates_is_refused(tmp_path: Path) -> None:
    write_small_coco(tmp_path)
    for part in ("a", "b"):
        (tmp_path / "images" / {"a": "train", "b": "val"}[part]).rename(tmp_path / "images" / part)
    shutil.move(tmp_path / "annotations/instances_train.json", tmp_path / "some.json")
    with pytest.raises(DataError, match=r"images/a and .*images/b both hold images with the names in .*some\.json"):
        open_data(f"coco:{tmp_path},train=some.json,val=some.json", "det").check("det")


def test_several_annotation_files_of_a_subset_are_refused(tmp_path: Path) -> None:
    _roboflow(tmp_path)
    _fiftyone(tmp_path)
    with pytest.raises(DataError, match=r"several files of train annotations \(.*\): name one with train=FILE"):
        open_data(f"coco:{tmp_path}", "det").check("det")
    files = "train=train/labels.json,val=valid/_annotations.coco.json"
    assert _shade(f"coco:{tmp_path},{files}", "held-out") == 100


def test_a_file_in_the_data_set_and_another_in_the_working_directory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_small_coco(tmp_path / "set")
    shutil.copytree(tmp_path / "set/annotations", tmp_path / "annotations")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"val=annotations/instances_val\.json is .* and also .*: write the absolute"):
        open_data("coco:set,val=annotations/instances_val.json", "det")
    absolute = tmp_path / "set/annotations/instances_val.json"
    assert _shade(f"coco:set,val={absolute}", "held-out") == 100


def test_names_with_folders_and_absolute_names(tmp_path: Path) -> None:
    for part, shade in (("train", 0), ("val", 100)):
        write_images(tmp_path / "pictures" / part, NAMES, shade)
        names = [f"pictures/{part}/{name}" for name in NAMES]
        write_json(tmp_path / f"annotations/instances_{part}.json", content("instances", names))
    assert _shade(f"coco:{tmp_path}", "held-out") == 100
    absolute = [str(tmp_path / "pictures/val" / name) for name in NAMES]
    write_json(tmp_path / "annotations/instances_val.json", content("instances", absolute))
    assert _shade(f"coco:{tmp_path}", "held-out") == 100


def test_unannotated_images_of_train_may_be_missing(tmp_path: Path) -> None:
    write_small_coco(tmp_path)
    path = tmp_path / "annotations/instances_train.json"
    document = json.loads(path.read_text())
    document["images"].append({"id": 9, "file_name": "9.png", "width": 20, "height": 12})
    path.write_text(json.dumps(document))
    assert _shade(f"coco:{tmp_path}", "train") == 0
