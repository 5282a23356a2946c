"""The generation in the package loads, says where its labels are from, and answers in the units people know."""

from __future__ import annotations

from collections import Counter

import pytest

from predictor import Predictor, shipped

MAX_BYTES = 25 * 2**20


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load()


def test_it_is_small_and_names_its_sets(predictor: Predictor) -> None:
    assert sum(path.stat().st_size for path in shipped.FOLDER.iterdir() if path.is_file()) < MAX_BYTES
    labels = Counter[tuple[str, str]]()
    for learned in predictor.metadata.sets:
        assert learned.kind
        assert learned.networks is not None
        labels[learned.task, learned.data] += learned.labels
    for known in (("cls", "imagenet-1k"), ("det", "coco-2017"), ("seg", "ade20k"), ("pose", "coco-2017")):
        assert labels[known] >= 40
    assert predictor.metadata.store == ""
