"""Data sets: annotations of COCO, folders of label images, Pascal VOC's layout, folders of classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.fuzz.mutation import as_json, documents, files, reseal_png, texts
from tests.fuzz.readers.reader import Read, Reader, reader
from tests.support.plain_images import write_png
from tests.support.small_coco import content, write_small_coco
from workers.data import open_data

_NAMES = ["1.png", "2.png"]


def _data_reader(
    write: Callable[[Path], object], spoilt: str, spec: str, task: str, sample: bool = False
) -> Callable[[Path], Read]:
    """Return what opens a data set with one file replaced, and checks it as `label` does."""

    def open_reader(folder: Path) -> Read:
        write(folder)

        def read(given: bytes) -> None:
            (folder / spoilt).write_bytes(given)
            data = open_data(spec.format(folder), task)
            data.check(task)
            data.fingerprint()
            data.vocabulary(task)
            if sample:
                data.sample("held-out", 0)

        return read

    return open_reader


def _coco(kind: str, task: str, **category: Any) -> Reader:
    document = content(kind, _NAMES, **category)
    if kind == "instances":
        document["annotations"][0]["segmentation"] = {"size": [12, 20], "counts": [50, 4, 186]}
        document["annotations"][0]["iscrowd"] = 1

    def inputs() -> st.SearchStrategy[bytes]:
        return st.one_of(documents(document, as_json), documents(document, as_json), files(as_json(document)))

    open_reader = _data_reader(write_small_coco, f"annotations/{kind}_val.json", "coco:{}", task, sample=True)
    return Reader(kind, as_json(document), inputs, open_reader, share=0.5)


@reader
def coco_instances() -> Reader:
    return _coco("instances", "iseg")


@reader
def coco_person_keypoints() -> Reader:
    return _coco("person_keypoints", "pose")


@reader
def coco_panoptic() -> Reader:
    return _coco("panoptic", "pano")


def _write_pairs(folder: Path) -> None:
    for subset in ("train", "val"):
        for name in _NAMES:
            write_png(folder / "images" / subset / name, np.full((8, 8, 3), 9, np.uint8))
            write_png(folder / "annotations" / subset / name, _ids())


def _ids() -> Any:
    return (np.arange(64).reshape(8, 8) % 3).astype(np.uint8)


@reader
def masks_classes() -> Reader:
    names = ["road", "car", "sky"]

    def inputs() -> st.SearchStrategy[bytes]:
        return st.one_of(documents(names, as_json), files(as_json(names)))

    return Reader("classes", as_json(names), inputs, _data_reader(_write_pairs, "classes.json", "masks:{}", "seg"))


@reader
def masks_annotation() -> Reader:
    folder_less = _png_bytes()

    def inputs() -> st.SearchStrategy[bytes]:
        return files(folder_less, reseal_png)

    opened = _data_reader(_write_pairs, "annotations/val/1.png", "masks:{},ignore=2", "seg", sample=True)
    return Reader("annotation", folder_less, inputs, opened)


def _png_bytes() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return write_png(Path(folder) / "x.png", _ids()).read_bytes()


_MAP = "# label:color_rgb:parts:actions\nroad:128,64,128::\ncar:0,0,142::\nbackground:0,0,0::\n"


def _write_voc(folder: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[2:4] = 128, 64, 128
    pixels[4:6] = 0, 0, 142
    for name in ("a", "b"):
        write_png(folder / "JPEGImages" / f"{name}.png", np.full((8, 8, 3), 9, np.uint8))
        write_png(folder / "SegmentationClass" / f"{name}.png", pixels)
    lists = folder / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    (lists / "val.txt").write_text("b\n")
    (folder / "labelmap.txt").write_text(_MAP)


def _lines(valid: str) -> Callable[[], st.SearchStrategy[bytes]]:
    spoilt = texts([valid]).map(lambda text: text.encode("utf-8", "surrogatepass"))
    return lambda: st.one_of(spoilt, files(valid.encode()))


@reader
def voc_label_map() -> Reader:
    opened = _data_reader(_write_voc, "labelmap.txt", "masks:{}", "seg", sample=True)
    return Reader("labelmap", _MAP.encode(), _lines(_MAP), opened)


@reader
def voc_list() -> Reader:
    opened = _data_reader(_write_voc, "ImageSets/Segmentation/val.txt", "masks:{}", "seg")
    return Reader("list", b"b\n", _lines("b\n"), opened)


def _write_classes(folder: Path) -> None:
    for subset in ("train", "val"):
        for number, name in enumerate(("cat", "dog")):
            write_png(folder / subset / name / "1.png", np.full((8, 8, 3), 40 * number, np.uint8))


@reader
def imagefolder_image() -> Reader:
    valid = _png_bytes()
    opened = _data_reader(_write_classes, "val/dog/1.png", "imagefolder:{}", "cls", sample=True)
    return Reader("imagefolder", valid, lambda: files(valid, reseal_png), opened)


@reader
def data_names() -> Reader:
    examples = [
        "shapes",
        "shapes:seed=1,train=4,held=2",
        "masks:DIR,ignore=3,foreground=1",
        "coco:DIR",
        "imagefolder:D",
    ]

    def open_reader(folder: Path) -> Read:
        _write_pairs(folder)

        def read(text: str) -> None:
            for task in ("seg", "cls", "det"):
                open_data(text.replace("DIR", str(folder)), task)

        return read

    return Reader("data", "shapes", lambda: texts(examples), open_reader)
