"""mmdet's shipped detectors become graphs, heads of regions included."""

from __future__ import annotations

import pytest

from predictor import measure_cost, trace
from workers.detectors.reference_detectors import published_detector
from workers.errors import RecipeError


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        ("configs/retinanet/retinanet_r50_fpn_1x_coco.py", 37.97),
        ("configs/faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py", 41.76),
        ("configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py", 44.40),
        ("configs/cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py", 69.40),
        ("configs/faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py", 33.84),  # part of its body belongs to the regions
    ],
)
def test_shipped_detectors_have_their_parameters(config: str, millions: float) -> None:
    detector = published_detector(config)
    found = trace(detector, (3, 256, 320))
    assert found.params == sum(p.numel() for p in detector.parameters())
    assert found.params / 1e6 == pytest.approx(millions, abs=0.01)
    kinds = {"conv", "add", "max_pool"} | ({"resize"} if "_fpn_" in config else set())
    assert kinds <= {node.op for node in found.nodes}


def test_names_may_be_quoted_as_in_addresses() -> None:
    plain, quoted = (
        published_detector(f"configs/gn{plus}ws/faster-rcnn_r50_fpn_gn-ws-all_1x_coco.py") for plus in ("+", "%2B")
    )
    assert trace(plain, (3, 64, 64)).id == trace(quoted, (3, 64, 64)).id


def test_images_are_padded_as_the_detector_pads_them() -> None:
    detector = published_detector("configs/hrnet/fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco.py")
    odd, whole = trace(detector, (3, 90, 70)), trace(detector, (3, 96, 96))
    assert [node.op for node in odd.nodes][:2] == ["input", "pad"]
    assert (odd.flops, odd.params) == (whole.flops, whole.params)


@pytest.mark.parametrize("config", ["dcn/faster-rcnn_r50-dconv", "dcnv2/faster-rcnn_r50-mdconv"])
def test_deformable_convolutions_are_convolutions(config: str) -> None:
    plain = published_detector("configs/faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py")
    detector = published_detector(f"configs/{config}-c3-c5_fpn_1x_coco.py")
    size = (3, 64, 96)
    found, without = trace(detector, size), trace(plain, size)
    assert found.params == sum(p.numel() for p in detector.parameters())
    assert found.flops == measure_cost(detector, size).flops
    # Thirteen blocks of three stages read where a further convolution says.
    assert sum(n.op == "conv" for n in found.nodes) == sum(n.op == "conv" for n in without.nodes) + 13
    moved = [n for n in found.nodes if n.op == "conv" and len(n.inputs) > 1]
    assert [(n.kernel, n.bias) for n in moved] == [((3, 3), False)] * 13
    assert {n.stride for n in moved} == {(1, 1), (2, 2)}


@pytest.mark.parametrize(
    ("config", "message"),
    [("configs/none.py", "no such file below"), ("configs/ld/ld_r18-gflv1-r101_fpn_1x_coco.py", "choose another")],
)
def test_others_are_refused_in_one_line(config: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as refusal:
        published_detector(config)
    assert "\n" not in str(refusal.value)
