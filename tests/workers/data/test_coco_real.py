"""`coco:DIR` on small public data sets: all annotations are read, without a warning."""

import warnings

import pytest

from tests.support.real_data import real_data_folder
from workers.data import open_data


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "task", "sizes", "classes", "objects"),
    [
        ("bccd", "det", (205, 159), 3, 2082),
        ("pennfudan", "det", (120, 50), 1, 131),
        ("pennfudan", "iseg", (120, 50), 1, 131),
        ("lspet", "pose", (3000, 1000), 1, 1000),
        ("coco100", "det", (98, 100), 80, 712),
        ("coco100", "iseg", (98, 100), 80, 712),
        ("coco100", "pano", (100, 100), 133, 712),
        ("coco100", "seg", (100, 100), 133, 0),
    ],
)
def test_real_sets(name: str, task: str, sizes: tuple[int, int], classes: int, objects: int) -> None:
    folder = real_data_folder("bccd, pennfudan, lspet and coco100")
    data = open_data(f"coco:{folder}/{name}", task)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.check(task)
    assert (data.size("train"), data.size("held-out")) == sizes
    assert len(data.classes(task)) == classes
    samples = [data.sample("held-out", i) for i in range(sizes[1])]
    instances = [instance for sample in samples for instance in sample.instances]
    assert len(instances) == objects
    for instance in instances:
        if instance.mask is not None:
            assert instance.area == instance.mask.sum()
    if task == "pose":
        assert len(data.people("train")) == 3000
    if name == "coco100" and task in ("pano", "seg"):
        assert all(sample.panoptic is not None and (sample.panoptic >= 0).any() for sample in samples)
