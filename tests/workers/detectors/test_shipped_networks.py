"""The segmentors and pose networks of OpenMMLab's configurations become graphs, without compiled operations."""

from __future__ import annotations

import sys

import pytest

from predictor import trace
from tests.support.openmmlab import needs_mmpose, needs_mmseg
from workers.detectors import coco_api, reference_pose_networks, reference_segmentors
from workers.detectors.reference_pose_networks import build_reference_pose_network
from workers.detectors.reference_segmentors import build_reference_segmentor
from workers.errors import RecipeError

POSE = "configs/body_2d_keypoint/topdown_heatmap/coco"


@needs_mmseg
@pytest.mark.parametrize(
    ("config", "size", "millions"),
    [
        ("pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py", (512, 512), 46.68),
        ("psanet/psanet_r50-d8_4xb4-80k_ade20k-512x512.py", (512, 512), 51.67),  # compiled masks in mmcv
        ("mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py", (512, 512), 44.00),  # of mmdet's parts
    ],
)
def test_segmentors_return_logits_of_the_images_size(config: str, size: tuple[int, int], millions: float) -> None:
    segmentor = build_reference_segmentor(f"configs/{config}")
    graph = trace(segmentor, (3, *size))
    assert graph.params / 1e6 == pytest.approx(millions, abs=0.01)
    output = graph.nodes[-1]
    assert (output.op, output.channels_in, output.positions_in) == ("output", 150, size[0] * size[1])


@needs_mmpose
@pytest.mark.parametrize(
    ("config", "millions"),
    [
        ("td-hm_res50_8xb64-210e_coco-256x192.py", 34.00),  # as published by Simple Baselines
        ("td-hm_rsn18_8xb32-210e_coco-256x192.py", None),  # has heatmaps at four resolutions
    ],
)
def test_pose_networks_return_the_heatmaps_of_inference(config: str, millions: float | None) -> None:
    network = build_reference_pose_network(f"{POSE}/{config}")
    graph = trace(network, (3, 256, 192))
    if millions is not None:
        assert graph.params / 1e6 == pytest.approx(millions, abs=0.01)
    found = [node for node in graph.nodes if node.op == "output"]
    assert [(node.channels_in, node.positions_in) for node in found] == [(17, 64 * 48)]


@needs_mmseg
def test_a_configuration_that_does_not_exist_is_refused_in_one_line() -> None:
    with pytest.raises(RecipeError, match=r"mmseg configuration 'configs/none.py': no such file below") as refusal:
        build_reference_segmentor("configs/none.py")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("package", "module", "command"),
    [
        ("mmseg", reference_segmentors, "pip install 'aiop-orchestrator[openmmlab]'"),
        ("mmpose", reference_pose_networks, "pip install --no-deps mmpose==1.3.2"),
    ],
)
def test_a_missing_package_is_named_with_the_command(
    package: str, module: object, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = getattr(module, "_load").__wrapped__  # noqa: B009 - past the cache of an earlier test
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RecipeError, match=f"{package}: cannot be imported") as refusal:
        load()
    assert command in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_mmpose_gets_pycocotools_where_its_fork_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "xtcocotools"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(coco_api, "_works", lambda: False)
    coco_api.install()
    import pycocotools.coco
    from xtcocotools.coco import COCO

    assert COCO is pycocotools.coco.COCO
