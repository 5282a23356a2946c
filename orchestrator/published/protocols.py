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

    size: numbers of classes and joints of the data set. space, labels: of the published sets whose labels are by this
    protocol; labels is the name of their recipe. Empty if all sets of the data set are meant.
    """

    recipe: str
    size: VocabularySize
    input_size: tuple[int, int] | None = None
    space: str = ""
    labels: str = ""


_COCO_OBJECTS = VocabularySize(classes=80, things=80, joints=0)

# By task and data set, as files of published results name them.
PROTOCOLS: Mapping[tuple[str, str], Protocol] = {
    ("cls", "imagenet-1k"): Protocol("", VocabularySize(1000, 1000, 0), (224, 224)),
    ("det", "coco-2017"): Protocol("1x", _COCO_OBJECTS, space="mmdet-faster-rcnn"),
    ("iseg", "coco-2017"): Protocol("1x", _COCO_OBJECTS, space="mmdet-mask-rcnn"),
    ("pano", "coco-2017"): Protocol("1x", VocabularySize(133, 80, 0)),  # Panoptic FPN
    ("seg", "ade20k"): Protocol(  # semantic FPN
        "ade20k", VocabularySize(150, 150, 0), space="mmseg", labels="published:mmseg-80k-512x512"
    ),
    ("seg", "cityscapes"): Protocol(  # semantic FPN
        "cityscapes", VocabularySize(19, 19, 0), space="mmseg", labels="published:mmseg-80k-512x1024"
    ),
    ("pose", "coco-2017"): Protocol(  # deconvolution head of Simple Baselines
        "coco", VocabularySize(1, 1, 17), space="mmpose", labels="published:td-hm-256x192"
    ),
}


def find_protocol(task: str, data: str) -> Protocol | None:
    """Return the protocol of a data set, which may be DATA@METRIC; None if there is none."""
    return PROTOCOLS.get((task, data)) or PROTOCOLS.get((task, data.partition("@")[0]))
