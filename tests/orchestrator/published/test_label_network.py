"""Every protocol of the table names a recipe that fits it; names distinguish backbones from whole networks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from orchestrator.predictors.label_groups import LabelGroup, label_groups, with_recipe
from orchestrator.published.disagreement import disagreement
from orchestrator.published.label_network import BuildOptions, LabelNetworks, backbone_named
from orchestrator.published.named_networks import open_network
from orchestrator.published.protocols import PROTOCOLS
from predictor.graph import trace
from predictor.metadata import LabelledNetworks, LearnedSet
from predictor.models import Prediction
from workers.errors import GenotypeError
from workers.messages.recipe_files import load_recipe

CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|avg_pool_3x3~2|"


@pytest.mark.parametrize(("task", "data"), PROTOCOLS)
def test_a_protocol_names_a_recipe_of_its_task(task: str, data: str) -> None:
    protocol = PROTOCOLS[task, data]
    if protocol.recipe:
        recipe = load_recipe(protocol.recipe, task, "zoo")
        assert (recipe.task, recipe.name) == (task, f"{task}.{protocol.recipe}")
    assert bool(protocol.recipe) == (protocol.input_size is None)
    assert protocol.size.things <= protocol.size.classes


def test_a_name_is_of_a_backbone_or_of_a_whole_network() -> None:
    assert backbone_named("timm:resnet50.a1_in1k") == backbone_named("zoo:resnet50")
    cell = backbone_named(f"nasbench201:{CELL}")
    assert cell is not None
    assert cell.space == "nasbench201"
    for whole in ("mmdet:configs/atss/atss_r50_fpn_1x_coco.py", "net.onnx", "package.module:function", "resnet50"):
        assert backbone_named(whole) is None
    with pytest.raises(GenotypeError, match="must be a timm model"):
        backbone_named("timm:resnet_50")


def learned(name: str, labels: int, *kind: str, size: tuple[int, int] = (64, 64)) -> LearnedSet:
    space, task, data, _, recipe, _ = kind
    networks = LabelledNetworks(recipe={"name": recipe, "task": task, "input_size": list(size)})
    return LearnedSet(name=name, task=task, data=data, space=space, labels=labels, kind=kind, networks=networks)


SETS = (
    learned("a", 30, "mmdet-atss", "det", "coco-2017", "published", "published:1x", "h1"),
    learned("b", 50, "mmdet-retinanet", "det", "coco-2017", "published", "published:2x", "h2"),
    learned("c", 70, "zoo", "det", "shapes", "full", "det.laptop", "h3"),
    learned("d", 90, "zoo", "seg", "shapes", "full", "seg.laptop", "h4"),
)


def test_labels_are_grouped_by_data_and_recipe_over_spaces() -> None:
    published, own = label_groups(SETS, "det")
    assert (published.labels, published.recipe, [one.name for one in published.sets]) == (80, "", ["b", "a"])
    assert published.recipes == ("published/published:1x/h1", "published/published:2x/h2")
    assert published.title == "det on coco-2017, published: 80 labels (b, a)"
    assert own.title == "det on shapes, full det.laptop: 70 labels (c)"
    assert [group.sets for group in with_recipe([published, own], "published:1x")] == [SETS[:1]]
    assert with_recipe([published, own], "laptop") == [own]
    assert with_recipe([published, own], "gpu") == []


def test_a_timm_network_of_one_size_is_built_at_it() -> None:
    sets = (learned("t", 9, "timm", "cls", "imagenet-1k", "published", "published:in1k", "h", size=(256, 256)),)
    networks = LabelNetworks(LabelGroup("cls", "imagenet-1k", "published", "", sets), BuildOptions())
    assert networks.build("timm:resnet18").title == "resnet18 + own head, 256x256"
    assert networks.build("timm:vit_tiny_patch16_224").input_size == (224, 224)


def test_predictions_disagree_if_they_rank_or_measure_differently() -> None:
    rising, width = np.linspace(0.4, 0.5, 5), np.full(5, 0.01)
    first = Prediction(rising, width)
    assert disagreement(first, Prediction(rising + 0.005, width)) is None
    assert (
        disagreement(first, Prediction(rising + 0.1, width)) == "differs by more than the intervals for 5 of 5 of them"
    )
    assert disagreement(first, Prediction(rising[::-1], width)) == "ranks 10 of 10 pairs of them the other way round"
    assert disagreement(first, Prediction.ranking(rising + 7)) is None


def test_a_backbone_in_a_published_detector_has_the_graph_of_the_published_one() -> None:
    networks = LabelNetworks(LabelGroup("det", "coco-2017", "published", "", ()), BuildOptions())
    ours = networks.build("timm:resnet50").graph
    published = open_network("mmdet:configs/faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py").build()
    theirs = trace(published, (3, 800, 1333))
    assert (ours.flops, ours.params) == (theirs.flops, theirs.params)
    assert Counter(node.op for node in ours.nodes) == Counter(node.op for node in theirs.nodes if node.op != "pad")
