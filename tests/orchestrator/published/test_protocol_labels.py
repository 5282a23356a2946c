"""A backbone with a protocol's head is answered for in the unit of the labels that were made by this protocol."""

import pytest

from orchestrator.predictors.label_groups import LabelGroup, label_groups
from orchestrator.published.answers import by_protocol
from predictor.metadata import LearnedSet


def published(space: str, task: str, data: str, recipe: str, labels: int) -> LearnedSet:
    kind = (space, task, data, "published", f"published:{recipe}", "x")
    return LearnedSet(name=f"{space}/{task}/{recipe}", task=task, data=data, space=space, labels=labels, kind=kind)


SETS = (
    published("mmdet-mask-rcnn", "det", "coco-2017", "1x", 44),
    published("mmdet-faster-rcnn", "det", "coco-2017", "1x", 40),
    published("mmseg", "seg", "ade20k", "mmseg-160k-512x512", 40),
    published("mmseg", "seg", "ade20k", "mmseg-80k-512x512", 23),
    published("cells", "cls", "imagenet-1k", "1x", 40),
)


def names(group: LabelGroup) -> list[str]:
    return [learned.name for learned in group.sets]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("det", ["mmdet-faster-rcnn/det/1x"]),
        ("seg", ["mmseg/seg/mmseg-80k-512x512"]),
        ("cls", ["cells/cls/1x"]),  # networks with their own classifier have no protocol
    ],
)
def test_labels_of_the_protocol_are_chosen(task: str, expected: list[str]) -> None:
    (group,) = label_groups(SETS, task)
    assert names(by_protocol(group)) == expected


def test_without_such_labels_all_of_the_data_set_are_meant() -> None:
    for sets in (SETS[:1], SETS[2:3]):
        (group,) = label_groups(sets, sets[0].task)
        assert by_protocol(group) == group
