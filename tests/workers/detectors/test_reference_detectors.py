"""The detectors of mmdet's configurations become graphs, with their region heads."""

from __future__ import annotations

import pytest

from predictor import measure_cost, trace
from workers.detectors.reference_detectors import build_reference_detector
from workers.errors import RecipeError


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        ("configs/retinanet/retinanet_r50_fpn_1x_coco.py", 37.97),
        ("configs/faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py", 41.76),
        ("configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py", 44.40),
        ("configs/cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py", 69.40),
        ("configs/faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py", 33.84),  # part of its backbone is run on regions
    ],
)
def test_detectors_have_the_published_number_of_parameters(config: str, millions: float) -> None:
    detector = build_reference_detector(config)
    graph = trace(detector, (3, 256, 320))
    assert graph.params == sum(p.numel() for p in detector.parameters())
    assert graph.params / 1e6 == pytest.approx(millions, abs=0.01)
    kinds = {"conv", "add", "max_pool"} | ({"resize"} if "_fpn_" in config else set())
    assert kinds <= {node.op for node in graph.nodes}


def test_names_may_be_quoted_as_in_urls() -> None:
    plain, quoted = (
        build_reference_detector(f"configs/gn{plus}ws/faster-rcnn_r50_fpn_gn-ws-all_1x_coco.py")
        for plus in ("+", "%2B")
    )
    assert trace(plain, (3, 64, 64)).id == trace(quoted, (3, 64, 64)).id


def test_images_are_padded_as_by_the_detectors_preprocessor() -> None:
    detector = build_reference_detector("configs/hrnet/fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco.py")
    odd, whole = trace(detector, (3, 90, 70)), trace(detector, (3, 96, 96))
    assert [node.op for node in odd.nodes][:2] == ["input", "pad"]
    assert (odd.flops, odd.params) == (whole.flops, whole.params)


@pytest.mark.parametrize("config", ["dcn/faster-rcnn_r50-dconv", "dcnv2/faster-rcnn_r50-mdconv"])
def test_deformable_convolutions_are_conv_nodes(config: str) -> None:
    plain = build_reference_detector("configs/faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py")
    detector = build_reference_detector(f"configs/{config}-c3-c5_fpn_1x_coco.py")
    size = (3, 64, 96)
    graph, without = trace(detector, size), trace(plain, size)
    assert graph.params == sum(p.numel() for p in detector.parameters())
    assert graph.flops == measure_cost(detector, size).flops
    # Thirteen blocks in three stages have a further convolution for the offsets.
    assert sum(n.op == "conv" for n in graph.nodes) == sum(n.op == "conv" for n in without.nodes) + 13
    deformable = [n for n in graph.nodes if n.op == "conv" and len(n.inputs) > 1]
    assert [(n.kernel, n.bias) for n in deformable] == [((3, 3), False)] * 13
    assert {n.stride for n in deformable} == {(1, 1), (2, 2)}


@pytest.mark.parametrize(
    ("config", "message"),
    [("configs/none.py", "no such file below"), ("configs/ld/ld_r18-gflv1-r101_fpn_1x_coco.py", "choose another")],
)
def test_configurations_that_cannot_be_built_are_refused_in_one_line(config: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as refusal:
        build_reference_detector(config)
    assert "\n" not in str(refusal.value)
