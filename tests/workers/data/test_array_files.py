"""Indexes of annotation files: the same data set, in less time, until a file changes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.support.coco_like import write_coco_like
from workers.data import open_data
from workers.data.array_files import ArrayFiles, join_texts, read_arrays, split_texts, write_arrays


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco_like(tmp_path_factory.mktemp("coco"), 8)


def everything(folder: Path, task: str) -> list[object]:
    """Return all that can be read of the training split."""
    data = open_data(f"coco:{folder}", task)
    data.check(task)
    samples = [data.sample("train", index) for index in range(data.size("train"))]
    read: list[object] = [data.fingerprint(), data.vocabulary(task), data.people("train")]
    for sample in samples:
        read += [None if part is None else part.tolist() for part in (sample.semantic, sample.panoptic)]
        for i in sample.instances:
            arrays = [None if part is None else part.tolist() for part in (i.mask, i.joints)]
            read += [i.category, i.box, i.crowd, i.area, *arrays]
    return read


@pytest.mark.parametrize("task", ["det", "iseg", "pose", "pano", "seg"])
def test_an_indexed_data_set_is_the_same(
    folder: Path, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOP_CACHE", str(tmp_path))
    plain = everything(folder, task)
    assert not list(tmp_path.iterdir())  # small files need no index
    monkeypatch.setattr("workers.data.coco.subset._INDEXED_BYTES", 0)
    assert everything(folder, task) == plain
    assert len(list(tmp_path.iterdir())) == 2
    with monkeypatch.context() as patch:
        patch.setattr("workers.data.coco.subset.read_json", lambda path: pytest.fail("parsed again"))
        assert everything(folder, task) == plain
    for kind in ("instances", "panoptic", "person_keypoints"):
        path = folder / "annotations" / f"{kind}_train.json"
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert everything(folder, task) == plain
    assert len(list(tmp_path.iterdir())) == 3


def test_a_damaged_index_is_not_used(tmp_path: Path) -> None:
    index = tmp_path / "index"
    assert read_arrays(index) is None
    write_arrays(index, ArrayFiles({"a": np.arange(5), "b": np.zeros((0, 4))}, {"n": 1}))
    read = read_arrays(index)
    assert read is not None
    assert read.facts["n"] == 1
    assert isinstance(read.arrays["a"], np.memmap)
    assert read.arrays["b"].shape == (0, 4)
    write_arrays(index, ArrayFiles({}, {}))  # the first one stays
    assert read_arrays(index) is not None
    (index / "a.npy").write_bytes(b"torn")
    assert read_arrays(index) is None
    header = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<i8', 'fo" + bytes(100)  # numpy reads it as Python
    (index / "a.npy").write_bytes(header)
    assert read_arrays(index) is None
    (index / "a.npy").unlink()
    assert read_arrays(index) is None
    for facts in ("null", "[]", "{}", "[" * 100_000):
        (index / "facts.json").write_text(facts)
        assert read_arrays(index) is None


def test_texts_survive() -> None:
    texts = ("a.jpg", "", "ü.png", "\udcff")
    assert split_texts(join_texts(texts), 4) == texts
    assert split_texts(join_texts(()), 0) == ()
