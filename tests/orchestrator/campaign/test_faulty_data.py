"""Twenty faulty data sets for each task: all are refused in one line when the campaign is planned, before a worker."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.plan import plan_campaign
from tests.support.plain_images import red_box, write_png
from tests.support.small_coco import BOX, SIZE, Content, edit, write_small_coco
from workers.errors import DataError

Spoil = Callable[[Path], object]
PIXELS, NAN = red_box(SIZE, BOX), float("nan")
LABELS = (PIXELS[..., 0] > 0).astype(np.uint8)
CLASS_FOLDERS = ("train/cat", "train/dog", "val/cat", "val/dog")
JPEG = "0.jpg"


def _write_classes(folder: Path) -> str:
    for name in CLASS_FOLDERS:
        write_png(folder / name / "0.png", PIXELS)
        Image.fromarray(PIXELS).save(folder / name / "1.jpg")
    return f"imagefolder:{folder}"


def _write_masks(folder: Path) -> str:
    for subset in ("train", "val"):
        write_png(folder / "images" / subset / "0.png", PIXELS)
        write_png(folder / "annotations" / subset / "0.png", LABELS)
        Image.fromarray(PIXELS).save(folder / "images" / subset / "1.jpg")
        write_png(folder / "annotations" / subset / "1.png", LABELS)
    return f"masks:{folder}"


def _write_coco(folder: Path) -> str:
    return f"coco:{write_small_coco(folder)}"


def _remove(name: str) -> Spoil:
    return lambda f: shutil.rmtree(f / name) if (f / name).is_dir() else (f / name).unlink()


def _cut(name: str, ending: bytes = b"") -> Spoil:
    def spoil(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) * 6 // 10] + ending)

    return spoil


def _text(name: str, text: str = "<html>") -> Spoil:
    return lambda f: (f / name).write_text(text)


def _all(*spoils: Spoil) -> Spoil:
    def spoil(folder: Path) -> None:
        for change in spoils:
            change(folder)

    return spoil


def _empty(*names: str) -> Spoil:
    def spoil(folder: Path) -> None:
        for name in names:
            shutil.rmtree(folder / name)
            (folder / name).mkdir()

    return spoil


def _float_image(name: str) -> Spoil:
    return lambda f: Image.new("F", SIZE, 0.5).save(f / name, format="TIFF")


CLS: list[Spoil] = [
    _all(_remove("train/dog"), _remove("val/dog")),  # one class
    _all(*(_remove(name) for name in CLASS_FOLDERS)),
    _remove("train"),
    _remove("val"),
    _remove("val/dog"),
    _remove("train/cat"),
    _empty("train/cat"),
    _empty("val/dog"),
    _empty("train"),
    lambda f: write_png(f / "valid/cat/0.png", PIXELS),
    lambda f: write_png(f / "training/cat/0.png", PIXELS),
    lambda f: write_png(f / "test/bird/0.png", PIXELS),
    lambda f: write_png(f / "test/0.png", PIXELS),  # without classes
    _cut("train/cat/0.png"),
    _cut("train/cat/1.jpg"),
    _cut("val/cat/1.jpg", b"\xff\xd9"),
    _cut("val/cat/1.jpg", b"\0" * 2000),
    _text("train/dog/1.jpg"),
    _text("val/dog/0.png", ""),
    _all(
        *(
            lambda f, n=name: [(f / n / file).rename(f / n / f"{file}.heic") for file in ("0.png", "1.jpg")]
            for name in CLASS_FOLDERS
        )
    ),
    _float_image("train/cat/2.tif"),
]


def _label(name: str, labels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Spoil:
    return lambda f: write_png(f / "annotations" / name, labels)


def _every_label(*values: int) -> Spoil:
    names = ("train/0.png", "train/1.png", "val/0.png", "val/1.png")
    meaning = np.array(values, dtype=np.uint8)
    return _all(*(_label(name, meaning[LABELS]) for name in names))


MASKS: list[Spoil] = [
    _every_label(0, 0),
    _every_label(1, 1),
    _every_label(255, 255),
    _every_label(255, 3),
    _all(_every_label(0, 255), _text("classes.json", '["a", "b", "c"]')),
    _all(_every_label(0, 0), _text("classes.json", '["ground", "thing"]')),
    _all(*(_label(f"val/{n}.png", LABELS | 255) for n in (0, 1))),
    _all(*(_label(f"train/{n}.png", LABELS * 0) for n in (0, 1))),
    _text("classes.json", '["only"]'),
    _text("classes.json", '["a", "a"]'),
    _all(_every_label(0, 7), _text("classes.json", '["a", "b", "c"]')),
    _remove("annotations/val/1.png"),
    _remove("images/val/1.jpg"),
    _remove("images/val"),
    _all(_remove("images/val"), _remove("annotations/val")),
    _label("train/0.png", LABELS[:-1]),
    lambda f: write_png(f / "annotations/train/0.png", PIXELS),
    lambda f: write_png(f / "annotations/train/0.png", LABELS.astype(np.uint16) * 300),
    lambda f: (_remove("annotations/train/1.png")(f), Image.fromarray(LABELS).save(f / "annotations/train/1.jpg")),
    _cut("annotations/val/0.png"),
    _cut("images/train/1.jpg", b"\xff\xd9"),
    lambda f: write_png(f / "images/train/1.png", PIXELS),
    lambda f: write_png(f / "images/valid/0.png", PIXELS),
]


def _json(change: Callable[[Content], object], kind: str, *parts: str) -> Spoil:
    return _all(*(partial(_edit, change, kind, part) for part in parts or ("train", "val")))


def _edit(change: Callable[[Content], object], kind: str, part: str, folder: Path) -> None:
    edit(folder / f"annotations/{kind}_{part}.json", change)


def _each(**values: object) -> Callable[[Content], object]:
    """Set values of all annotations."""
    return lambda c: [annotation.update(values) for annotation in c["annotations"]]


def _coco_faults(kind: str) -> list[Spoil]:
    """Return the faults of all annotations of boxes, masks and people."""
    val = partial(_json, kind=kind)
    return [
        _remove(f"annotations/{kind}_val.json"),
        _text(f"annotations/{kind}_train.json", "{"),
        _text(f"annotations/{kind}_train.json", "[]"),
        val(lambda c: c["annotations"].clear()),
        val(lambda c: c["images"].clear()),
        val(lambda c: c["categories"].clear()),
        _json(lambda c: c["categories"][0].update(name="other"), kind, "val"),
        _json(_each(category_id=77), kind, "train"),
        _json(_each(image_id=77), kind, "val"),
        _remove("images/val/2.png"),
        _remove("images/train"),
        _cut("images/val/2.png"),
        _json(lambda c: c["images"][0].update(width=21), kind, "val"),
        lambda f: shutil.copytree(f / "images/train", f / "images/validation"),
        _json(_each(bbox=[0, 0, NAN, 1]), kind, "val"),
    ]


def _object_faults(kind: str) -> list[Spoil]:
    """Return faults that leave no object to evaluate."""
    return [
        _json(_each(bbox=[4, 2, 0, 0]), kind, "val"),
        _json(_each(bbox=[50, 50, 9, 9]), kind, "train"),
        _json(_each(iscrowd=1), kind, "val"),
        _json(_each(iscrowd=1), kind, "train"),
        _json(_each(area=1e11), kind, "val"),
        _json(_each(area=-1), kind, "val"),
    ]


_POLYGON = [[30, 2, 34, 2, 34, 8]]
ISEG = [
    _json(_each(segmentation=_POLYGON), "instances", "val"),
    _json(_each(segmentation=_POLYGON), "instances", "train"),
    _json(_each(segmentation=[]), "instances", "val"),
    _json(_each(segmentation={"size": [12, 20], "counts": [240]}), "instances", "val"),
]
POSE = [
    _json(_each(keypoints=[0] * 6), "person_keypoints", "val"),
    _json(_each(keypoints=[0] * 6), "person_keypoints", "train"),
    _json(_each(keypoints=[4, 2, 2]), "person_keypoints", "val"),
    _json(lambda c: c["categories"][0].pop("keypoints"), "person_keypoints"),
    _json(lambda c: c["categories"][0].update(keypoints=["head", "head"]), "person_keypoints"),
]


def _paint(value: int, *parts: str) -> Spoil:
    """Give all segments of these subsets one id."""
    pngs = [f"annotations/panoptic_{part}/{name}.png" for part in parts for name in (1, 2)]
    pixels = np.zeros((SIZE[1], SIZE[0], 3), dtype=np.uint8)
    pixels[..., 0] = value
    return _all(*(lambda f, png=png: write_png(f / png, pixels) for png in pngs))


def _keep_one_class(content: Content) -> None:
    content["categories"] = content["categories"][:1]
    for annotation in content["annotations"]:
        annotation["segments_info"] = annotation["segments_info"][:1]


PANOPTIC: list[Spoil] = [
    *_coco_faults("panoptic")[:7],
    *_coco_faults("panoptic")[8:14],
    _paint(0, "val"),
    _paint(0, "train"),
    _paint(8, "val"),
    _remove("annotations/panoptic_val/1.png"),
    _remove("annotations/panoptic_train"),
    _cut("annotations/panoptic_val/1.png"),
    lambda f: write_png(f / "annotations/panoptic_val/1.png", LABELS),
    lambda f: write_png(f / "annotations/panoptic_val/1.png", PIXELS[:-1]),
    _json(lambda c: c["categories"][0].pop("isthing"), "panoptic"),
]
SEG_OF_COCO: list[Spoil] = [_all(_json(_keep_one_class, "panoptic"), _paint(7, "train", "val"))]
PANO: list[Spoil] = [
    _all(
        _json(lambda c: [category.update(isthing=0) for category in c["categories"]], "panoptic"),
        _remove("annotations/instances_train.json"),
        _remove("annotations/instances_val.json"),
    ),
    _json(lambda c: c["images"][0].update(height=11), "instances", "val"),
    _json(lambda c: c["categories"][0].update(name="x"), "instances"),
]
INSTANCES = [*_coco_faults("instances"), *_object_faults("instances")]
FAULTS: list[tuple[str, Callable[[Path], str], list[Spoil]]] = [
    ("cls", _write_classes, CLS),
    ("seg", _write_masks, MASKS),
    ("seg", _write_coco, [*PANOPTIC, *SEG_OF_COCO]),
    ("det", _write_coco, INSTANCES),
    ("iseg", _write_coco, [*INSTANCES, *ISEG]),
    ("pose", _write_coco, [*_coco_faults("person_keypoints"), *POSE]),
    ("pano", _write_coco, [*PANOPTIC, *PANO]),
]
CASES = [
    pytest.param(task, write, spoil, id=f"{task}-{write.__name__}-{number}")
    for task, write, faults in FAULTS
    for number, spoil in enumerate(faults)
]


def _plan(task: str, data: str) -> None:
    plan_campaign(CampaignConfig.checked(task=task, data=data, num=1, sample="uniform", fidelity="full"))


@pytest.mark.parametrize(("task", "write", "spoil"), CASES)
def test_a_faulty_data_set_reaches_no_worker(
    tmp_path: Path, task: str, write: Callable[[Path], str], spoil: Spoil
) -> None:
    data = write(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError) as caught:
        _plan(task, data)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(("task", "write"), [(task, write) for task, write, _ in FAULTS])
def test_the_same_data_sets_without_a_fault_are_accepted(
    tmp_path: Path, task: str, write: Callable[[Path], str]
) -> None:
    _plan(task, write(tmp_path))


def test_there_are_twenty_for_each_task() -> None:
    assert all(len(faults) >= 20 for _, _, faults in FAULTS)
