"""mmdet's shipped detectors become graphs, heads of regions included."""

from __future__ import annotations

import pytest

from predictor import trace
from workers.detectors.published import published_detector
from workers.errors import RecipeError


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        ("configs/retinanet/retinanet_r50_fpn_1x_coco.py", 37.97),
        ("configs/faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py", 41.76),
        ("configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py", 44.40),
        ("configs/cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py", 69.40),
    ],
)
def test_shipped_detectors_have_their_parameters(config: str, millions: float) -> None:
    detector = published_detector(config)
    found = trace(detector, (3, 256, 320))
    assert found.params == sum(p.numel() for p in detector.parameters())
    assert found.params / 1e6 == pytest.approx(millions, abs=0.01)
    assert {"conv", "add", "resize", "max_pool"} <= {node.op for node in found.nodes}


def test_names_may_be_quoted_as_in_addresses() -> None:
    plain, quoted = (
        published_detector(f"configs/gn{plus}ws/faster-rcnn_r50_fpn_gn-ws-all_1x_coco.py") for plus in ("+", "%2B")
    )
    assert trace(plain, (3, 64, 64)).id == trace(quoted, (3, 64, 64)).id


@pytest.mark.parametrize(
    ("config", "message"),
    [("configs/none.py", "no such file below"), ("configs/ld/ld_r18-gflv1-r101_fpn_1x_coco.py", "choose another")],
)
def test_others_are_refused_in_one_line(config: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as refusal:
        published_detector(config)
    assert "\n" not in str(refusal.value)
