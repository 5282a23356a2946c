"""Data sets as people have them: what the command `label` says about each, and what a worker reads."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.label_in_process import Printed, label_with, read_everything, run
from tests.support.wild_data import wild_data_folder
from workers.data import Sample, open_data

pytestmark = pytest.mark.real
Label = Callable[..., Printed]
RED, BLUE, BOX = (149, 107, 107), (0, 0, 254), (10, 10, 43, 30)


@pytest.fixture
def label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Label:
    """Runs the command on one network; a worker that is reached reads all samples."""
    reached = label_with(monkeypatch, read_everything)
    calls = count()

    def call(task: str, data: str, *more: str) -> Printed:
        reached.clear()
        store = str(tmp_path / f"labels{next(calls)}")
        arguments = ["--task", task, "--data", data, "--num", "1", "--sample", "uniform", "--fidelity", "full"]
        printed = run(monkeypatch, capsys, "label", *arguments, *more, "--store", store, "--json")
        assert len(reached) == (0 if printed.code == 2 else 1)
        return printed

    return call


def _sample(printed: Printed, task: str, data: str) -> Sample:
    assert (printed.code, printed.document["labels"]) == (0, 1)
    return open_data(data, task).sample("held-out", 0)


def _assert_on_its_object(sample: Sample) -> None:
    (instance,) = sample.instances
    assert instance.box == BOX
    red = (sample.image[..., 0] > 150) & (sample.image[..., 1] < 100)
    assert red[12:28, 12:41].all()
    assert not red[:, 48:].any()


def _refused(printed: Printed, text: str) -> None:
    assert printed.code == 2
    assert text in printed.err
    assert printed.err.count("\n") == 1


def test_annotations_are_paired_with_images_next_to_them(label: Label) -> None:
    folder = wild_data_folder("coco/roboflow_same_names") / "coco/roboflow_same_names"
    files = ["--train-json", "train/_annotations.coco.json", "--val-json", "valid/_annotations.coco.json"]
    assert label("det", f"coco:{folder}", *files).code == 0
    spec = f"coco:{folder},train={files[1]},val={files[3]}"
    assert np.abs(open_data(spec, "det").sample("held-out", 0).image.mean((0, 1)) - BLUE).max() < 2
    assert np.abs(open_data(spec, "det").sample("train", 0).image.mean((0, 1)) - RED).max() < 2


def test_annotations_are_paired_with_images_of_their_subset(label: Label) -> None:
    folder = wild_data_folder("coco/images_test_same_names") / "coco/images_test_same_names"
    files = ["--train-json", "annotations/instances_train.json", "--val-json", "annotations/instances_test.json"]
    assert label("det", f"coco:{folder}", *files).code == 0
    spec = f"coco:{folder},train={files[1]},val={files[3]}"
    assert np.abs(open_data(spec, "det").sample("held-out", 0).image.mean((0, 1)) - BLUE).max() < 2


@pytest.mark.parametrize("name", ["roboflow", "cvat", "exif2", "exif3", "exif6_seen"])
@pytest.mark.parametrize("task", ["det", "iseg"])
def test_layouts_and_orientations(label: Label, name: str, task: str) -> None:
    spec = f"coco:{wild_data_folder('coco/' + name)}/coco/{name}"
    printed = label(task, spec)
    _assert_on_its_object(_sample(printed, task, spec))
    assert printed.document["data_notes"] == []


def test_sizes_of_the_stored_image_that_its_annotations_contradict(label: Label) -> None:
    spec = f"coco:{wild_data_folder('coco/exif6_stored')}/coco/exif6_stored"
    _refused(label("det", spec), "train0.jpg is shown turned (EXIF orientation 6), as 100x40: ")


def test_binary_masks(label: Label) -> None:
    spec = f"masks:{wild_data_folder('masks/bin255')}/masks/bin255"
    printed = label("seg", spec)
    semantic = _sample(printed, "seg", spec).semantic
    assert np.bincount(np.asarray(semantic).ravel()).tolist() == [1800, 600]
    assert "the only values are 0 and 255, so 255 is class 1" in printed.document["data_notes"][0]
    assert f"note: {printed.document['data_notes'][0]}" in printed.err
    _refused(label("seg", f"{spec},ignore=255"), "has pixels of one class only (0): add annotations of a second class")
    assert label("seg", f"{spec},foreground=255").document["data_notes"] == []


def test_masks_without_foreground(label: Label) -> None:
    spec = f"masks:{wild_data_folder('masks/emptyfg')}/masks/emptyfg"
    _refused(label("seg", spec), "has pixels of one class only (0): add annotations of a second class")


def test_masks_with_gaps_between_their_values(label: Label) -> None:
    spec = f"masks:{wild_data_folder('masks/tri')}/masks/tri"
    printed = label("seg", spec)
    assert printed.code == 0
    assert "no pixel has a value between 0 and 127, and 126 of 128 classes do not occur" in printed.err
    both = label("seg", f"{spec},ignore=127,foreground=255")
    assert (both.code, both.document["data_notes"]) == (0, [])
    assert open_data(f"{spec},ignore=127,foreground=255", "seg").classes("seg") == ("class 0", "class 1")


@pytest.mark.parametrize(
    ("task", "data", "sizes"),
    [
        ("seg", "masks:{}/masks/mixwebp", (4, 3)),
        ("cls", "imagefolder:{}/imagefolder/mixed", (18, 18)),
        ("cls", "imagefolder:{}/imagefolder/nested", (18, 18)),
    ],
)
def test_all_images_are_used(label: Label, task: str, data: str, sizes: tuple[int, int]) -> None:
    spec = data.format(wild_data_folder("masks/mixwebp and imagefolder/"))
    printed = label(task, spec)
    assert (printed.code, printed.document["data_notes"]) == (0, [])
    opened: Any = open_data(spec, task)
    assert (opened.size("train"), opened.size("held-out")) == sizes


def test_one_class(label: Label) -> None:
    spec = f"imagefolder:{wild_data_folder('imagefolder/one')}/imagefolder/one"
    _refused(label("cls", spec), "train holds one class, 'only': a network learns to tell classes apart: add a folder")
