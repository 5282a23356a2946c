"""The protocol that a backbone without a published result is built by, for each task and data set.

A published set names whole networks. A backbone is answered for as if it had been trained by the most common protocol
of the data set, which one of our recipes has: its head and input size are built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.predictors.labelled_networks import VocabularySize


@dataclass(frozen=True, slots=True)
class Protocol:
    """recipe: the tier of ours; empty for networks with their own classifier. input_size: of these, in pixels.

    size: numbers of classes and joints of the data set.
    """

    recipe: str
    size: VocabularySize
    input_size: tuple[int, int] | None = None


_COCO_OBJECTS = VocabularySize(classes=80, things=80, joints=0)

# By task and data set, as files of published results name them.
PROTOCOLS: Mapping[tuple[str, str], Protocol] = {
    ("cls", "imagenet-1k"): Protocol("", VocabularySize(1000, 1000, 0), (224, 224)),
    ("det", "coco-2017"): Protocol("1x", _COCO_OBJECTS),  # Faster R-CNN with FPN
    ("iseg", "coco-2017"): Protocol("1x", _COCO_OBJECTS),  # Mask R-CNN with FPN
    ("pano", "coco-2017"): Protocol("1x", VocabularySize(133, 80, 0)),  # Panoptic FPN
    ("seg", "ade20k"): Protocol("ade20k", VocabularySize(150, 150, 0)),  # semantic FPN
    ("seg", "cityscapes"): Protocol("cityscapes", VocabularySize(19, 19, 0)),  # semantic FPN
    ("pose", "coco-2017"): Protocol("coco", VocabularySize(1, 1, 17)),  # deconvolution head of Simple Baselines
}
