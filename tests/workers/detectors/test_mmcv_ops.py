"""mmcv's operations computed by torchvision, and mmdet's use of our backbones."""

from pathlib import Path

import pytest
import torch
import torchvision

from workers.data import Vocabulary
from workers.detectors import mmcv_ops, mmdet_loading
from workers.detectors.config import detector_config
from workers.errors import RecipeError
from workers.messages.architecture import Architecture
from workers.spaces import get_space

VOCABULARY = Vocabulary(("a", "b", "c", "grass", "sky"), 3)
MASK_RCNN = "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"


def test_focal_loss_and_its_gradient_equal_the_python_version_of_mmdet() -> None:
    mmdet_loading.load()
    from mmcv.ops import sigmoid_focal_loss
    from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss

    logits, target = torch.randn(40, 5), torch.randint(0, 6, (40,))
    for_mmcv, for_mmdet = (logits.clone().requires_grad_() for _ in range(2))
    ours = sigmoid_focal_loss(for_mmcv, target, 2.0, 0.25, None, "sum")
    hot = torch.nn.functional.one_hot(target, 6)[:, :5]
    theirs = py_sigmoid_focal_loss(for_mmdet, hot.float(), gamma=2.0, alpha=0.25, reduction="sum")
    ours.backward()
    theirs.backward()
    assert torch.allclose(ours, theirs, rtol=1e-5)
    assert torch.allclose(for_mmcv.grad, for_mmdet.grad, atol=1e-6)  # type: ignore[arg-type]


def test_nms_keeps_the_best_of_overlapping_boxes() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
    kept = mmcv_ops.nms(boxes, torch.tensor([0.5, 0.9, 0.1]), iou_threshold=0.5, offset=0)
    assert kept.tolist() == [1, 2]


def test_roi_align_takes_half_precision_and_gives_a_gradient() -> None:
    mmdet_loading.load()
    from mmcv.ops import roi_align

    features = torch.arange(64.0).reshape(1, 1, 8, 8).requires_grad_()
    pooled = roi_align(features, torch.tensor([[0.0, 0, 0, 8, 8]]), (2, 2), 1.0, 0, "avg", True)
    # Means of the quadrants.
    assert torch.allclose(pooled[0, 0], torch.tensor([[13.5, 17.5], [45.5, 49.5]]))
    pooled.sum().backward()
    assert torch.allclose(features.grad, torch.full((1, 1, 8, 8), 1 / 16))  # type: ignore[arg-type]
    with torch.autocast("cpu", torch.bfloat16):
        assert (
            roi_align(features.bfloat16(), torch.tensor([[0.0, 0, 0, 8, 8]]), (2, 2), 1.0, 0, "avg", True).numel() == 4
        )


def test_an_unsupported_operation_fails_with_the_remedy() -> None:
    mmdet_loading.load()
    import mmcv._ext

    with pytest.raises(NotImplementedError, match="'carafe_forward' needs a compiled mmcv"):
        mmcv._ext.carafe_forward()


@pytest.mark.parametrize("modulated", [False, True])
def test_deformable_convolutions_and_gradients_equal_torchvision(modulated: bool) -> None:
    mmdet_loading.load()
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d

    torch.manual_seed(0)
    images, weight, bias = torch.randn(2, 4, 9, 7), torch.randn(6, 2, 3, 3), torch.randn(6)
    offset, mask = torch.randn(2, 2 * 2 * 9, 5, 4), torch.rand(2, 2 * 9, 5, 4)
    inputs = (images, offset, weight, mask, bias) if modulated else (images, offset, weight)
    a, b = ([t.clone().requires_grad_() for t in inputs] for _ in range(2))
    if modulated:
        ours = modulated_deform_conv2d(a[0], a[1], a[3], a[2], a[4], 2, 1, 1, 2, 2)
    else:
        ours = deform_conv2d(a[0], a[1], a[2], 2, 1, 1, 2, 2)
    extra = {"mask": b[3], "bias": b[4]} if modulated else {}
    theirs = torchvision.ops.deform_conv2d(b[0], b[1], b[2], stride=2, padding=1, **extra)
    assert torch.equal(ours, theirs)
    weights = torch.randn_like(ours)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    for mine, reference in zip(a, b, strict=True):
        assert torch.allclose(mine.grad, reference.grad, atol=1e-5)  # type: ignore[arg-type]


def test_a_deformable_convolution_without_offsets_is_a_convolution() -> None:
    mmdet_loading.load()
    from mmcv.ops import deform_conv2d

    images, weight = torch.randn(1, 4, 9, 7), torch.randn(6, 4, 3, 5)
    no_offset = torch.zeros(1, 2 * 15, 5, 7)
    # Height before width: stride 2 and 1, padding 1 and 4, dilation 1 and 2.
    ours = deform_conv2d(images, no_offset, weight, (2, 1), (1, 4), (1, 2))
    plain = torch.nn.functional.conv2d(images, weight, None, (2, 1), (1, 4), (1, 2))
    assert torch.allclose(ours, plain, atol=1e-5)


def test_a_space_gives_a_backbone_for_any_mmdet_configuration() -> None:
    models = mmdet_loading.load()
    ops = ["nor_conv_3x3", "skip_connect", "skip_connect", "none", "none", "nor_conv_1x1"]
    backbone = models.build({"type": "SpaceBody", "space": "nasbench201", "genotype": {"ops": ops}}).eval()
    expected = get_space("nasbench201").build(Architecture.of("nasbench201", {"ops": ops})).eval()
    expected.load_state_dict(backbone.body.state_dict())
    image = torch.rand(1, 3, 64, 64)
    for level, reference in zip(backbone(image), expected(image), strict=True):
        assert torch.equal(level, reference)


def test_all_heads_get_the_width_and_the_classes() -> None:
    model = detector_config((8, 16, 32, 64), VOCABULARY, {"width": 64}, MASK_RCNN)
    assert model["neck"]["in_channels"] == [8, 16, 32, 64]
    assert model["neck"]["out_channels"] == model["rpn_head"]["in_channels"] == 64
    assert model["roi_head"]["bbox_head"]["fc_out_channels"] == 256
    assert model["roi_head"]["mask_head"]["num_classes"] == 3


def test_a_file_here_with_the_name_of_one_of_mmdet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "_base_/models/retinanet_r50_fpn.py"
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("model = {}")
    with pytest.raises(RecipeError, match="is a file of mmdet, and another one here: write the absolute path of yours"):
        detector_config((8, 16, 32, 64), VOCABULARY, {"config": name}, MASK_RCNN)
    with pytest.raises(RecipeError, match=r"has no single neck"):
        detector_config((8, 16, 32, 64), VOCABULARY, {"config": str(tmp_path / name)}, MASK_RCNN)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"nonsense": 1}, "unknown to mmdet heads"),
        ({"width": 20}, "multiple of 16"),
        ({"width": "wide"}, "multiple of 16"),
        ({"config": "nowhere.py"}, "no such file"),
        ({"options": {"nowhere.deep": 1}}, "has no 'nowhere'"),
        ({"options": [1]}, "must be a mapping"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        detector_config((8, 16, 32, 64), VOCABULARY, settings, MASK_RCNN)
    assert "\n" not in str(caught.value)
