"""`coco:DIR`: every mistake in a file is an error of one line before training starts, or is corrected."""

import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workers.data import open_data
from workers.data.coco.dataset import DataWarning
from workers.errors import DataError

Record = dict[str, Any]
Spoil = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images a split; one object, person and segment on each."""
    (tmp_path / "annotations").mkdir()
    images = [{"id": i, "file_name": f"{i}.png", "width": 8, "height": 6} for i in (1, 2)]
    square = [[1, 1, 5, 1, 5, 4, 1, 4]]
    objects = [
        {"id": 10 + i, "image_id": i, "category_id": 3, "bbox": [1, 1, 4, 3], "segmentation": square} for i in (1, 2)
    ]
    joints = {"keypoints": [2, 2, 2, 3, 3, 1]}
    segments = [
        {"image_id": i, "file_name": f"{i}.png", "segments_info": [{"id": 7, "category_id": 3}]} for i in (1, 2)
    ]
    for part in ("train", "val"):
        pngs = tmp_path / f"annotations/panoptic_{part}"
        for images_or_pngs in (tmp_path / "images" / part, pngs):
            images_or_pngs.mkdir(parents=True)
            for i in (1, 2):
                Image.new("RGB", (8, 6), (7, 0, 0)).save(images_or_pngs / f"{i}.png")
        for kind, annotations, more in (
            ("instances", objects, {}),
            ("person_keypoints", [annotation | joints for annotation in objects], {"keypoints": ["head", "hand"]}),
            ("panoptic", segments, {"isthing": 1}),
        ):
            categories = [{"id": 3, "name": "person"} | more]
            content = {"images": images, "annotations": annotations, "categories": categories}
            (tmp_path / f"annotations/{kind}_{part}.json").write_text(json.dumps(content))
    return tmp_path


def _edit(change: Callable[[Record], object], kind: str = "instances", part: str = "val") -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / f"annotations/{kind}_{part}.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return spoil


def _set(kind: str, key: str, **values: Any) -> Spoil:
    """Set values of the last record in the list `key`. The value ... removes a key."""

    def change(content: Record) -> None:
        record = content[key][-1]
        record.update(values)
        for name in [name for name, value in record.items() if value is ...]:
            del record[name]

    return _edit(change, kind)


def _segment(**values: Any) -> Spoil:
    return _edit(lambda c: c["annotations"][-1]["segments_info"][0].update(values), "panoptic")


_object = partial(_set, "instances", "annotations")
_person = partial(_set, "person_keypoints", "annotations")
_image = partial(_set, "instances", "images")


def _segmentation(value: Any) -> Spoil:
    return _object(segmentation=value)


def _runs(counts: Any, size: Any = (6, 8)) -> Spoil:
    return _segmentation({"size": list(size) if isinstance(size, tuple) else size, "counts": counts})


def _text(content: str | bytes) -> Spoil:
    raw = content if isinstance(content, bytes) else content.encode()
    return lambda f: (f / "annotations/instances_val.json").write_bytes(raw)


def _cut(name: str) -> Spoil:
    return lambda f: (f / name).write_bytes((f / name).read_bytes()[:-20])


def _save(mode: str, name: str, size: tuple[int, int] = (8, 6)) -> Spoil:
    return lambda f: Image.new(mode, size).save(f / name, format="JPEG" if mode == "CMYK" else None)


def _folder_instead(folder: Path) -> None:
    (folder / "annotations/instances_val.json").unlink()
    (folder / "annotations/instances_val.json").mkdir()


def _many_classes(folder: Path) -> None:
    more = [{"id": 100 + i, "name": str(i), "isthing": 0} for i in range(255)]
    for part in ("train", "val"):
        _edit(lambda c: c["categories"].extend(more), "panoptic", part)(folder)


def _many_things(content: Record) -> None:
    content["annotations"][-1]["segments_info"] = [{"id": i + 1, "category_id": 3} for i in range(1000)]


PNG, JSON = "annotations/panoptic_val/2.png", r"instances_val\.json"
NAN, HUGE = float("nan"), 10**400

FILES: list[tuple[str, Spoil, str]] = [
    ("det", lambda f: (f / "annotations/instances_val.json").unlink(), f"{JSON} does not exist: add"),
    ("seg", lambda f: (f / "annotations/panoptic_val.json").unlink(), r"panoptic_val\.json does not exist: add"),
    ("det", _folder_instead, f"{JSON} cannot be read: give"),
    ("det", _cut("annotations/instances_val.json"), f"{JSON} is not readable JSON: replace"),
    ("det", _text(""), f"{JSON} is not readable JSON"),
    ("det", _text("[]"), f"{JSON} is JSON, but not an object"),
    ("det", _text("[" * 100_000 + "]" * 100_000), f"{JSON} is not readable JSON"),
    ("det", _text(b'{"images": "\xff\xfe\xfa"}'), f"{JSON} is not readable JSON"),
    ("det", _text('{"images": ' + "9" * 5000 + "}"), f"{JSON} is not readable JSON"),
    ("det", lambda f: (f / "images/val/2.png").unlink(), r"val/2\.png does not exist, but .*val\.json lists it: add"),
    ("det", _cut("images/val/2.png"), r"images/val/2\.png is not a readable image or is truncated"),
    (
        "det",
        _save("RGB", "images/val/2.png", (6, 8)),
        r"2\.png is 6x8 pixels but 8x6 in .*instances_val\.json: correct",
    ),
    ("seg", lambda f: (f / PNG).unlink(), f"{PNG} does not exist"),
    ("seg", _cut(PNG), f"{PNG} is not a readable image"),
    ("seg", _save("RGB", PNG, (6, 8)), f"{PNG} is 6x8 pixels but its image 8x6: save"),
    ("seg", _save("I;16", PNG), f"{PNG} is not an 8-bit RGB PNG: save"),
    ("seg", _save("L", PNG), f"{PNG} is not an 8-bit RGB PNG"),
    ("seg", _save("RGBA", PNG), f"{PNG} is not an 8-bit RGB PNG"),
    ("seg", _save("CMYK", PNG), f"{PNG} is not a readable image"),
    (
        "seg",
        lambda f: Image.new("RGB", (8, 6), (8, 1, 0)).save(f / PNG),
        f"{PNG} has segment 264, which is missing from its segments",
    ),
]

RECORDS: list[tuple[str, Spoil, str]] = [
    ("det", _edit(lambda c: c.pop("annotations")), f"{JSON} has no list 'annotations': replace"),
    ("det", _edit(lambda c: c.update(images={})), f"{JSON} has no list 'images'"),
    ("det", _edit(lambda c: c["annotations"].append(3)), rf"{JSON}: annotations\[2\] is not an object"),
    ("det", _edit(lambda c: c["images"].clear()), f"{JSON} has no images"),
    ("det", _edit(lambda c: c["annotations"].clear()), f"{JSON} has no usable object"),
    ("det", _edit(lambda c: c["categories"].clear()), f"{JSON} has no categories"),
    (
        "det",
        _set("instances", "categories", id=4),
        r"val\.json: annotation 11 has category_id 3, which no category has",
    ),
    ("det", _set("instances", "categories", name="dog"), r"has no category 3 equal to that in .*: give train and val"),
    ("det", _set("instances", "categories", name=" "), "category 3 has an invalid 'name'"),
    (
        "det",
        _edit(lambda c: c["categories"].append({"id": 4, "name": "person"})),
        "category 4 has the same name as another",
    ),
    ("det", _image(id=1), "image 1 occurs twice"),
    ("det", _image(id=9), "annotation 12 has image_id 2, which no image has: add the image or remove it"),
    ("det", _image(width="8"), "image 2 has an invalid 'width'"),
    ("det", _image(height=...), "image 2 has no 'height'"),
    ("det", _image(width=True), "image 2 has an invalid 'width'"),
    ("det", _image(width=10**20), "image 2 has an invalid 'width'"),
    ("det", _image(file_name="a\nb"), "image 2 has an invalid 'file_name'"),
    ("det", _image(file_name="\ud800"), "image 2 has an invalid 'file_name'"),
    ("det", _image(file_name="x" * 5000), "does not exist"),
    ("det", _object(id=11), "annotation 11 occurs twice"),
    ("det", _object(id=HUGE), "annotation of image 2 has an invalid 'id'"),
    ("det", _object(id=...), "annotation of image 2 has no 'id'"),
    ("det", _object(image_id=True), "annotation 12 has an invalid 'image_id'"),
    ("det", _object(category_id=[3]), "annotation 12 has an invalid 'category_id'"),
    ("det", _object(bbox=...), r"annotation 12 has no 'bbox': write \[x, y, width, height\]"),
    ("det", _object(bbox=[1, 1, 4]), "annotation 12 has an invalid 'bbox'"),
    ("det", _object(bbox=[1, 1, NAN, 3]), "annotation 12 has an invalid 'bbox'"),
    ("det", _object(bbox=[1, 1, HUGE, 3]), "annotation 12 has an invalid 'bbox'"),
    ("det", _object(bbox=[1, 1, True, 3]), "annotation 12 has an invalid 'bbox'"),
    ("det", _object(bbox=[1, 1, "4", 3]), "annotation 12 has an invalid 'bbox'"),
    ("det", _object(iscrowd=2), "annotation 12 has an invalid 'iscrowd'"),
    ("det", _object(area=-1), "annotation 12 has an invalid 'area'"),
    ("det", _object(area=NAN), "annotation 12 has an invalid 'area'"),
    ("iseg", _segmentation(None), "annotation 12 has no segmentation: add one, or use --task det"),
    ("iseg", _segmentation([]), "annotation 12 has no segmentation"),
    ("iseg", _segmentation("x"), "annotation 12 has an invalid segmentation"),
    ("iseg", _segmentation([1, 1, 5, 1, 5, 4]), "annotation 12 has a segmentation that is not a list of polygons"),
    ("iseg", _segmentation([[1, 1, 5, 1]]), "annotation 12 has a polygon of 4 coordinates"),
    ("iseg", _segmentation([[1, 1, 5, 1, 5, 4, 1]]), "annotation 12 has a polygon of 7 coordinates"),
    (
        "iseg",
        _segmentation([[1, 1, 5, 1, 5, NAN]]),
        "annotation 12 has a polygon with a coordinate that is not a finite",
    ),
    ("iseg", _segmentation([[1, 1, 5, 1, 5, 10**9]]), "annotation 12 has a polygon far outside"),
    ("iseg", _runs([6, 12, 30], (8, 6)), r"annotation 12 has run lengths of a different size .* \[6, 8\]"),
    ("iseg", _runs([6, 12, 30], "68"), "annotation 12 has run lengths without a valid 'size'"),
    ("iseg", _runs([6, 12, 3]), "annotation 12 has invalid run lengths"),
    ("iseg", _runs([6, -12, 54]), "annotation 12 has invalid run lengths"),
    ("iseg", _runs([HUGE]), "annotation 12 has invalid run lengths"),
    ("iseg", _runs([48.0]), "annotation 12 has invalid run lengths"),
    ("iseg", _runs(""), "annotation 12 has invalid run lengths"),
    ("iseg", _runs("ooo"), "annotation 12 has invalid run lengths"),
    ("iseg", _runs("06o"), "annotation 12 has invalid run lengths"),
    ("iseg", _runs("é"), "annotation 12 has invalid run lengths"),
    ("iseg", _runs(None), "annotation 12 has invalid run lengths"),
    ("pose", _person(keypoints=...), "annotation 12 has no 'keypoints': write x, y and visibility"),
    ("pose", _person(keypoints=[2, 2, 2]), "annotation 12 has an invalid 'keypoints'"),
    ("pose", _person(keypoints=[2, 2, 2, 3, 3, 3]), "annotation 12 has a joint whose visibility is not 0, 1 or 2"),
    ("pose", _person(keypoints=[2, 2, 2, 1e300, 3, 2]), "annotation 12 has a joint far outside"),
    ("pose", _set("person_keypoints", "categories", keypoints=...), "has no category with 'keypoints'"),
    ("pose", _set("person_keypoints", "categories", keypoints=["a", "a"]), "category 3 has invalid 'keypoints'"),
    ("pose", _set("person_keypoints", "categories", sigmas=[0.1]), "category 3 has invalid 'sigmas'"),
    ("pose", _set("person_keypoints", "categories", keypoints=["a", "b"]), "has no category 3 equal"),
    ("seg", _set("panoptic", "categories", isthing=...), "category 3 has no 'isthing'"),
    ("seg", _set("panoptic", "annotations", image_id=1), "annotation of image 1 occurs twice"),
    ("seg", _set("panoptic", "annotations", segments_info=[3]), "annotation of image 2 has an invalid 'segments_info'"),
    ("seg", _segment(id=0), "segment 0 of image 2 has an invalid 'id'"),
    ("seg", _segment(id=2**24), "segment 16777216 of image 2 has an invalid 'id'"),
    ("seg", _segment(category_id=4), "segment 7 of image 2 has category_id 4, which no category has"),
    (
        "seg",
        _set("panoptic", "annotations", segments_info=[{"id": 7, "category_id": 3}] * 2),
        "segment 7 of image 2 occ",
    ),
    ("seg", _many_classes, "has 256 categories: at most 255 are supported"),
    ("seg", _edit(_many_things, "panoptic"), "image 2 has 1000 things: at most 999 are supported"),
    ("pano", _image(width=9), r"instances_val\.json: 2\.png has a different size than in the panoptic file"),
    ("pano", _set("instances", "categories", name="dog"), r"instances_val\.json: category 3 is not a thing"),
    ("pano", _segmentation(None), "annotation 12 has no segmentation: add one, or remove this file"),
]


@pytest.mark.parametrize(("task", "spoil", "message"), FILES + RECORDS)
def test_mistakes_are_one_line(folder: Path, task: str, spoil: Spoil, message: str) -> None:
    spoil(folder)
    with pytest.raises(DataError, match=message) as caught:
        open_data(f"coco:{folder}", task).check(task)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def _count_dropped(folder: Path, task: str) -> int:
    """Check and decode everything; return how many annotations were dropped."""
    data = open_data(f"coco:{folder}", task)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        data.check(task)
    for split in ("train", "held-out"):
        for index in range(data.size(split)):
            assert data.sample(split, index).image.shape == (6, 8, 3)
    return sum("dropped 1 " in str(warning.message) for warning in caught)


@pytest.mark.parametrize(
    ("task", "spoil", "dropped"),
    [
        ("iseg", _object(bbox=[1, 1, 0, 3]), 1),
        ("det", _object(bbox=[1e308, 1, 1e308, 3]), 1),
        ("det", _object(bbox=[-1e308, 1, 1.5e308, 3]), 0),
        ("det", _object(segmentation="broken"), 0),
        ("det", _image(extra={"a": [[]]}), 0),
        ("iseg", _segmentation([[10, 8, 11, 8, 11, 9]]), 0),
        ("iseg", _segmentation([[1, 1, 1, 1, 1, 1]]), 0),
        ("iseg", _object(segmentation=None, iscrowd=1), 0),
        ("pose", _person(bbox=None, keypoints=[0] * 6), 1),
        ("pose", _person(bbox=None, keypoints=[-9, 2, 2, 3, 3.5, 2.0]), 0),
        ("pose", _person(category_id=3, area=None, iscrowd=None), 0),
        ("seg", lambda f: Image.new("RGB", (8, 6)).save(f / PNG), 1),
        ("det", _save("CMYK", "images/val/2.png"), 0),
        ("det", _save("L", "images/val/2.png"), 0),
        ("det", _save("I;16", "images/val/2.png"), 0),
        ("det", _save("1", "images/val/2.png"), 0),
        ("det", _save("P", "images/val/2.png"), 0),
    ],
)
def test_unusual_content_is_decoded_or_dropped_with_a_warning(
    folder: Path, task: str, spoil: Spoil, dropped: int
) -> None:
    spoil(folder)
    assert _count_dropped(folder, task) == dropped


def test_random_damage_is_an_error_of_one_line_or_harmless(folder: Path) -> None:
    """Change bytes at random; often the file is still valid JSON."""
    path = folder / "annotations/instances_val.json"
    raw = path.read_bytes()
    rng = np.random.default_rng(0)
    messages = []
    for _ in range(150):
        damaged = bytearray(raw)
        damaged[rng.integers(len(raw))] = rng.integers(32, 127)
        path.write_bytes(damaged)
        try:
            _count_dropped(folder, "iseg")
        except DataError as error:
            messages.append(str(error))
    assert len(messages) > 20
    assert not any("\n" in message for message in messages)
