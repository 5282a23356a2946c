"""`coco:DIR`: boxes, masks, joints and segments are read correctly from every layout."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from workers.data import VOID, Sample, Vocabulary, open_data
from workers.data.coco.dataset import DataWarning
from workers.data.coco.masks import _decode_lengths
from workers.errors import BadDataFailure, DataError

SIZE = (8, 6)  # width, height
SQUARE = [1, 1, 5, 1, 5, 4, 1, 4]
JOINTS = ["head", "hand", "foot"]
CAR, SKY = 5, 9


def _annotation(number: int, image: int, **values: Any) -> dict[str, Any]:
    base = {"id": number, "image_id": image, "category_id": CAR, "bbox": [1, 1, 4, 3], "iscrowd": 0, "area": 12}
    return base | {"segmentation": [SQUARE]} | values


def _content(annotations: list[dict[str, Any]], categories: list[dict[str, Any]], count: int = 3) -> dict[str, Any]:
    images = [{"id": i, "file_name": f"{i}.jpg", "width": SIZE[0], "height": SIZE[1]} for i in range(1, count + 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_set(root: Path) -> Path:
    """Two splits of three images; instances on the first two, joints on the first, segments on all."""
    (root / "annotations").mkdir(parents=True)
    things = [{"id": CAR, "name": "car"}, {"id": 2, "name": "dog"}]
    runs = {"size": [6, 8], "counts": [6, 12, 30]}
    code = coco_mask.frPyObjects(runs, 6, 8)["counts"].decode()
    for part in ("train", "val"):
        (root / "images" / part).mkdir(parents=True)
        for i in (1, 2, 3):
            Image.new("RGB", SIZE, (40 * i, 9, 200)).save(root / "images" / part / f"{i}.jpg")
        instances = [
            _annotation(1, 2, segmentation={"size": [6, 8], "counts": code}, bbox=[1, 0, 2, 6]),
            _annotation(2, 1),
            _annotation(3, 1, category_id=2, iscrowd=1, segmentation=runs, bbox=[-3, -2, 100, 5], area=None),
        ]
        write(root / f"annotations/instances_{part}.json", _content(instances, things))
        person = {"id": CAR, "name": "person", "keypoints": JOINTS, "sigmas": [0.1, 0.2, 0.3]}
        people = [
            _annotation(1, 1, keypoints=[0] * 9),
            _annotation(2, 1, keypoints=[1, 1, 2, 3, 2, 1, 0, 0, 0], bbox=None),
            _annotation(3, 2, category_id=2),
            _annotation(4, 2, keypoints=[1, 1, 2, 3, 2, 1, 4, 4, 2]),
        ]
        write(root / f"annotations/person_keypoints_{part}.json", _content(people, [things[1], person]))
        _write_panoptic(root, part)
    return root


def _write_panoptic(root: Path, part: str) -> None:
    folder = root / "annotations" / f"panoptic_{part}"
    folder.mkdir()
    segments = [
        {"id": 7, "category_id": SKY, "iscrowd": 0},
        {"id": 300, "category_id": CAR, "iscrowd": 0, "area": 4},
        {"id": 70000, "category_id": CAR, "iscrowd": 1, "area": 3},
    ]
    colours = np.zeros((6, 8, 3), dtype=np.uint8)
    colours[:3] = (7, 0, 0)
    colours[0, :4] = (300 - 256, 1, 0)
    colours[5, 5:] = (70000 - 65536 - 17 * 256, 17, 1)
    annotations = []
    for i in (1, 2, 3):
        Image.fromarray(colours).save(folder / f"{i}.png")
        annotations.append({"image_id": i, "file_name": f"{i}.png", "segments_info": segments})
    categories = [
        {"id": 1, "name": "grass", "isthing": 0},
        {"id": CAR, "name": "car", "isthing": 1},
        {"id": 2, "name": "dog", "isthing": 1},
        {"id": SKY, "name": "sky", "isthing": 0},
    ]
    write(root / f"annotations/panoptic_{part}.json", _content(annotations, categories))


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_set(tmp_path / "set")


def _read(folder: Path, task: str, split: str = "held-out") -> list[Sample]:
    data = open_data(f"coco:{folder}", task)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.check(task)
    return [data.sample(split, i) for i in range(data.size(split))]


def test_det(folder: Path) -> None:
    data = open_data(f"coco:{folder}", "det")
    assert data.spec == f"coco:{folder.resolve()}"
    assert data.vocabulary("det") == Vocabulary(("dog", "car"), 2)
    assert (data.size("train"), data.size("held-out")) == (2, 3)  # the third has no usable annotation
    first, second, third = _read(folder, "det")
    car, dogs = first.instances
    assert (car.category, car.box, car.crowd, car.area, car.mask) == (1, (1, 1, 5, 4), False, 12, None)
    assert (dogs.category, dogs.box, dogs.crowd, dogs.area) == (0, (0, 0, 8, 3), True, None)
    assert first.image.shape == (6, 8, 3)
    assert (len(second.instances), third.instances) == (1, ())
    with pytest.raises(IndexError):
        data.sample("train", 2)


def test_iseg_draws_polygons_and_runs(folder: Path) -> None:
    first, second, _ = _read(folder, "iseg")
    (car, dogs), (other,) = first.instances, second.instances
    stripe = np.zeros((6, 8), dtype=np.bool_)
    stripe[:, 1:3] = True
    square = np.zeros((6, 8), dtype=np.bool_)
    square[1:4, 1:5] = True
    for instance, expected in ((car, square), (dogs, stripe), (other, stripe)):
        assert instance.mask is not None
        assert np.array_equal(instance.mask, expected)


def test_a_crowd_without_segmentation_covers_its_box(folder: Path) -> None:
    path = folder / "annotations/instances_val.json"
    content = json.loads(path.read_text())
    del content["annotations"][2]["segmentation"]
    write(path, content)
    mask = _read(folder, "iseg")[0].instances[1].mask
    assert mask is not None
    assert mask[:3].all()
    assert not mask[3:].any()


def test_run_lengths_of_pycocotools_are_decoded() -> None:
    rng = np.random.default_rng(0)
    for density in (0.0, 0.01, 0.5, 1.0):
        drawn = np.asfortranarray(rng.random((300, 200)) < density, dtype=np.uint8)
        lengths = _decode_lengths(coco_mask.encode(drawn)["counts"])
        assert lengths is not None
        flat = np.repeat(np.arange(lengths.size) % 2, lengths)
        assert np.array_equal(flat.reshape(200, 300).T, drawn)


def test_pose(folder: Path) -> None:
    data = open_data(f"coco:{folder}", "pose")
    assert data.vocabulary("pose") == Vocabulary(("person",), 1, tuple(JOINTS), (0.1, 0.2, 0.3))
    assert data.people("train") == [(0, 1), (1, 0)]
    first, second, _ = _read(folder, "pose")
    _, no_box = first.instances
    assert no_box.box == (1, 1, 4, 3)  # the pixels of its two labelled joints
    assert no_box.joints is not None
    assert no_box.joints.dtype == np.float32
    assert no_box.joints.tolist() == [[1, 1, 2], [3, 2, 1], [0, 0, 0]]
    (other,) = second.instances
    assert (other.box, other.category, other.mask) == ((1, 1, 5, 4), 0, None)


def test_pose_uses_the_official_sigmas_for_the_joints_of_coco(folder: Path) -> None:
    pairs = ["eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"]
    sides = [f"{side}_{joint}" for joint in pairs for side in ("left", "right")]
    joints = ["nose", *sides]
    person = {"id": CAR, "name": "person", "keypoints": joints}
    for part in ("train", "val"):
        people = [_annotation(1, 1, keypoints=[1, 1, 2] * 17)]
        write(folder / f"annotations/person_keypoints_{part}.json", _content(people, [person]))
    sigmas = open_data(f"coco:{folder}", "pose").vocabulary("pose").sigmas
    official = [26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]
    assert sigmas == tuple(sigma / 1000 for sigma in official)


def test_pano(folder: Path) -> None:
    data = open_data(f"coco:{folder}", "pano")
    assert data.vocabulary("pano") == Vocabulary(("dog", "car", "grass", "sky"), 2)
    first, _, third = _read(folder, "pano")
    assert first.semantic is not None
    assert first.panoptic is not None
    assert (first.semantic.dtype, first.panoptic.dtype) == (np.uint8, np.int32)
    assert first.panoptic[0].tolist() == [1001] * 4 + [3000] * 4
    assert first.panoptic[5].tolist() == [-1] * 5 + [1002] * 3
    assert first.semantic[5].tolist() == [VOID] * 5 + [1] * 3
    assert first.crowds == {1002}
    assert (len(first.instances), len(third.instances)) == (2, 0)  # from the instances file


def test_pano_takes_instances_from_segments(folder: Path) -> None:
    for part in ("train", "val"):
        (folder / f"annotations/instances_{part}.json").unlink()
    car, crowd = _read(folder, "pano")[0].instances
    assert (car.box, car.area, car.crowd) == ((0, 0, 4, 1), 4, False)
    assert (crowd.box, crowd.crowd) == ((5, 5, 8, 6), True)
    assert car.mask is not None
    assert car.mask.sum() == 4


def test_seg(folder: Path) -> None:
    sample = _read(folder, "seg")[0]
    assert sample.semantic is not None
    assert sorted(np.unique(sample.semantic)) == [1, 3, VOID]
    assert open_data(f"coco:{folder}", "seg").classes("seg") == ("dog", "car", "grass", "sky")


def test_an_image_without_segments_is_void_and_not_trained_on(folder: Path) -> None:
    for part in ("train", "val"):
        path = folder / f"annotations/panoptic_{part}.json"
        content = json.loads(path.read_text())
        del content["annotations"][1]
        write(path, content)
    data = open_data(f"coco:{folder}", "seg")
    data.check("seg")
    assert (data.size("train"), data.size("held-out")) == (2, 3)
    semantic = data.sample("held-out", 1).semantic
    assert semantic is not None
    assert (semantic == VOID).all()


def _rename_as_downloaded(folder: Path) -> None:
    """Rename to the layout of COCO 2017 as downloaded."""
    for part in ("train", "val"):
        (folder / "images" / part).rename(folder / f"{part}2017")
        for kind in ("instances", "person_keypoints", "panoptic"):
            name = folder / "annotations" / f"{kind}_{part}"
            name.with_suffix(".json").rename(folder / "annotations" / f"{kind}_{part}2017.json")
        name.rename(folder / "annotations" / f"panoptic_{part}2017")


def _move_images_together(folder: Path) -> None:
    for file in (folder / "images/val").iterdir():
        file.rename(folder / "images" / file.name)
    shutil.rmtree(folder / "images/train")


def _move_images_up(folder: Path) -> None:
    for part in ("train", "val"):
        (folder / "images" / part).rename(folder / part)


@pytest.mark.parametrize("arrange", [_rename_as_downloaded, _move_images_together, _move_images_up])
@pytest.mark.parametrize("task", ["det", "iseg", "pose", "pano", "seg"])
def test_layouts(folder: Path, task: str, arrange: Any) -> None:
    expected = [sample.image.tobytes() for sample in _read(folder, task)]
    arrange(folder)
    assert [sample.image.tobytes() for sample in _read(folder, task)] == expected


def test_other_annotation_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (folder / "annotations/instances_train.json").rename(folder / "mine.json")
    (folder / "annotations/instances_val.json").rename(elsewhere / "theirs.json")
    shutil.rmtree(folder / "images/val")  # both annotation files list images in train
    monkeypatch.chdir(elsewhere)
    data = open_data("coco:../set,train=mine.json,val=theirs.json", "det")
    data.check("det")
    root = folder.resolve()
    assert data.spec == f"coco:{root},train={root}/mine.json,val={elsewhere.resolve()}/theirs.json"
    monkeypatch.chdir("/")
    again = open_data(data.spec, "det")
    assert again.fingerprint() == data.fingerprint()
    assert len(again.sample("held-out", 0).instances) == 2


def test_other_panoptic_files_have_their_pngs_in_a_folder_of_the_same_name(folder: Path) -> None:
    for suffix in (".json", ""):
        (folder / f"annotations/panoptic_train{suffix}").rename(folder / f"few{suffix}")
    data = open_data(f"coco:{folder},train=few.json", "seg")
    data.check("seg")
    assert data.size("train") == 3


def test_boxes_and_segments_without_pixels_are_reported_once(folder: Path) -> None:
    path = folder / "annotations/instances_val.json"
    content = json.loads(path.read_text())
    boxes = [[1, 1, 0, 3], [1, 1, 3, -2], [20, 1, 3, 3], [7.5, 1, 9, 3], [2, 2, 0.5, 3]]
    content["annotations"] += [_annotation(17 + i, 3, bbox=box) for i, box in enumerate(boxes)]
    write(path, content)
    data = open_data(f"coco:{folder}", "det")
    with pytest.warns(DataWarning, match=r"instances_val\.json: dropped 5 boxes .*first: annotation 17\)") as caught:
        data.check("det")
    assert len(caught) == 1
    assert data.sample("held-out", 2).instances == ()

    path = folder / "annotations/panoptic_val.json"
    content = json.loads(path.read_text())
    content["annotations"][2]["segments_info"].append({"id": 8, "category_id": 2})
    write(path, content)
    data = open_data(f"coco:{folder}", "pano")
    with pytest.warns(DataWarning, match=r"5 boxes .*; .*panoptic_val\.json: dropped 1 segments without") as caught:
        data.check("pano")
    assert len(caught) == 1
    assert data.sample("held-out", 2).crowds == {1002}


def test_wrong_locations_and_tasks_are_refused(folder: Path) -> None:
    for spec, message in (
        ("coco:", "names no folder: write coco:DIR"),
        (f"coco:{folder}/nowhere", "nowhere does not exist: give a folder"),
        (f"coco:{folder},train=no.json", r"no\.json is not a file"),
        (f"coco:{folder},train=", "names no file after train="),
        (f"coco:{folder},val=annotations", "annotations is not a file"),
        (f"coco:{folder},val=annotations/instances_val.json,val=x", "names val twice"),
    ):
        with pytest.raises(DataError, match=message):
            open_data(spec, "det")
    with pytest.raises(
        DataError, match="no annotations for task cls: coco supports det, iseg, pose, pano, seg; choose"
    ):
        open_data(f"coco:{folder}", "cls")
    data = open_data(f"coco:{folder}", "det")
    for method in (data.check, data.classes, data.vocabulary):
        with pytest.raises(DataError, match="no annotations for task pose: it was opened for det; open it for pose"):
            method("pose")


@pytest.mark.parametrize("file", ["images/train/1.jpg", "annotations/panoptic_train/1.png"])
def test_a_file_that_changes_after_the_check_is_bad_data(folder: Path, file: str) -> None:
    data = open_data(f"coco:{folder}", "pano")
    data.check("pano")
    Image.new("RGB", (9, 9)).save(folder / file)
    for spoil in (lambda: None, lambda: (folder / file).write_bytes(b"gone"), (folder / file).unlink):
        spoil()
        with pytest.raises(BadDataFailure, match=file):
            data.sample("train", 0)


def test_fingerprint_depends_on_the_content_and_not_on_the_location(folder: Path, tmp_path: Path) -> None:
    def fingerprint(location: Path, task: str = "pano") -> str:
        return open_data(f"coco:{location}", task).fingerprint()

    before, det = fingerprint(folder), fingerprint(folder, "det")
    moved = folder.rename(tmp_path / "moved")
    assert fingerprint(moved) == before
    assert len(before) == 16
    seen = {before, det}
    for spoil in (
        lambda: shutil.copy(moved / "images/val/2.jpg", moved / "images/val/1.jpg"),
        lambda: Image.new("RGB", SIZE).save(moved / "annotations/panoptic_val/1.png"),
        lambda: (moved / "annotations/instances_val.json").unlink(),
        lambda: (moved / "annotations/panoptic_val.json").write_bytes(
            (moved / "annotations/panoptic_val.json").read_bytes() + b"\n"
        ),
    ):
        spoil()
        assert fingerprint(moved) not in seen
        seen.add(fingerprint(moved))


def test_of_large_sets_only_sizes_are_hashed_and_some_images_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.data.coco.dataset._MAX_HASHED_IMAGES", 2)
    monkeypatch.setattr("workers.data.coco.dataset._OPENED_IMAGES", 1)
    before = open_data(f"coco:{folder}", "det").fingerprint()
    last = folder / "images/val/3.jpg"
    last.write_bytes(b"x" * last.stat().st_size)
    data = open_data(f"coco:{folder}", "det")
    data.check("det")
    assert data.fingerprint() == before
    with pytest.raises(BadDataFailure, match=r"3\.jpg"):
        data.sample("held-out", 2)
    last.unlink()
    with pytest.raises(DataError, match=r"3\.jpg does not exist"):
        open_data(f"coco:{folder}", "det").check("det")
