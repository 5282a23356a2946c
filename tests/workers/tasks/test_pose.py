"""Pose: crops, flips, heatmaps, loss and head."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from workers.data import Instance, Sample, Vocabulary, open_data
from workers.data.joint_names import head_segment, mirror_order, torso
from workers.data.shape_outlines import JOINTS
from workers.errors import BadDataFailure, RecipeError
from workers.targets.frame import Frame
from workers.targets.people import PersonCrops, crop_person, locate_person, stack_people
from workers.targets.view import View
from workers.tasks import get_task
from workers.tasks.keypoint_heatmaps import decode_heatmaps, heatmap_loss, render_heatmaps
from workers.tasks.pose import DeconvolutionHead
from workers.training.full import initialise

TASK = get_task("pose")
NUMBER = {"image_number": torch.tensor(0)}
CHANNELS, STRIDES = (8, 8, 12, 16), (4, 8, 16, 32)
MPII = (
    *("r_ankle", "r_knee", "r_hip", "l_hip", "l_knee", "l_ankle", "pelvis", "thorax"),
    *("upper_neck", "head_top", "r_wrist", "r_elbow", "r_shoulder", "l_shoulder", "l_elbow", "l_wrist"),
)
COCO = (
    "nose",
    *(f"{side}_{part}" for part in ("eye", "ear", "shoulder", "elbow", "wrist") for side in ("left", "right")),
    *(f"{side}_{part}" for part in ("hip", "knee", "ankle") for side in ("left", "right")),
)


def vocabulary_of(joints: tuple[str, ...] = JOINTS) -> Vocabulary:
    return Vocabulary(("person",), 1, joints)


def build(joints: tuple[str, ...] = JOINTS, **settings: Any) -> DeconvolutionHead:
    head = TASK.build_head(CHANNELS, STRIDES, vocabulary_of(joints), {"width": 8, **settings})
    assert isinstance(head, DeconvolutionHead)
    return head


def pyramid(count: int = 2, side: int = 64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    pairs = zip(CHANNELS, STRIDES, strict=True)
    return [torch.randn(count, c, side // s, side // s, generator=generator) for c, s in pairs]


def person(box: tuple[float, float, float, float], joints: Any, shape: tuple[int, int] = (60, 80)) -> Sample:
    image = np.full((*shape, 3), 200, dtype=np.uint8)
    return Sample(image, instances=(Instance(0, None, box, np.array(joints, dtype=np.float32)),))


def some_crops(joints: int = 14, count: int = 2) -> PersonCrops:
    rng = np.random.default_rng(0)
    samples = [person((10, 5, 50, 55), rng.uniform((12, 8, 2), (48, 50, 2), (joints, 3))) for _ in range(count)]
    crops = TASK.collate([locate_person(sample, 0, (64, 64)) | NUMBER for sample in samples], [whole((64, 64))] * count)
    assert isinstance(crops, PersonCrops)
    return crops


def whole(size: tuple[int, int], mirrored: bool = False) -> View:
    return View(size, size, size, mirrored=mirrored)


def cropped(sample: Sample, size: tuple[int, int]) -> tuple[torch.Tensor, PersonCrops]:
    example = crop_person(sample, 0, size)
    return example["image"], stack_people([example | NUMBER], [whole(size)])


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (32, 96)])
def test_joints_are_mapped_to_the_input_and_back(size: tuple[int, int]) -> None:
    joints = [[10, 5, 2], [49, 54, 1], [30.5, 20.25, 2]]
    image, crops = cropped(person((10, 5, 50, 55), joints), size)
    assert image.shape == (3, *size)
    assert image.dtype == torch.uint8
    there = crops.to_image_pixels(crops.joints[..., :2])[0]
    assert torch.allclose(there, torch.tensor(joints)[:, :2].float(), atol=1e-4)
    assert crops.joints[0, :, 2].tolist() == [2, 1, 2]
    # The box is in the middle and fills 1 / 1.25 of one side.
    middle = crops.to_image_pixels(torch.tensor([[[(size[1] - 1) / 2, (size[0] - 1) / 2]]]))
    assert middle[0, 0].tolist() == pytest.approx([29.5, 29.5], abs=1e-4)
    assert float(crops.scale[0, 0]) == pytest.approx(1.25 * max(40 / size[1], 50 / size[0]))


def test_crop_matches_its_mapping_and_is_black_outside_the_image() -> None:
    sample = person((0, 0, 20, 40), [[4, 30, 2]])
    sample.image[29:32, 3:6] = (255, 0, 0)
    image, crops = cropped(sample, (128, 128))
    x, y = (round(v) for v in crops.joints[0, 0, :2].tolist())
    assert image[:, y, x].tolist() == [255, 0, 0]
    assert image[:, :, 0].sum() == 0  # the box begins at the image's left edge
    assert image[:, 64, 64].tolist() == [200, 200, 200]
    everything = cropped(person((0, 0, 80, 60), [[0, 0, 2]]), (32, 64))[0]
    assert everything.max() == 200


def test_people_of_one_image_share_its_number() -> None:
    joints = np.ones((3, 3), dtype=np.float32)
    pair = tuple(Instance(0, None, (x, 0, x + 9, 9), joints) for x in (0, 5))
    sample = Sample(np.zeros((20, 20, 3), dtype=np.uint8), instances=pair)
    refs = [(7, 0), (7, 1), (8, 0)]
    numbers = [TASK.load_example(sample, ref, Frame((32, 32)), training=False)["image_number"] for ref in refs]
    assert numbers == [7, 7, 8]


def test_an_instance_without_joints_is_bad_data() -> None:
    sample = Sample(np.zeros((20, 20, 3), dtype=np.uint8), instances=(Instance(0, None, (0, 0, 9, 9)),))
    with pytest.raises(BadDataFailure, match="no joints"):
        TASK.load_example(sample, (0, 0), Frame((32, 32)), training=True)
    with pytest.raises(BadDataFailure, match="no joints"):
        TASK.annotate(sample, (32, 32), training=True)


def test_examples_are_the_people_of_the_data_set() -> None:
    data = open_data("shapes:train=12,held_out=6", "pose")
    examples = TASK.list_examples(data, "train")
    assert examples == data.people("train")
    image, position = examples[0]
    sample = data.sample("train", image)
    loaded = TASK.load_example(sample, (image, position), Frame((64, 64)), training=True)
    assert torch.equal(TASK.annotate(sample, (64, 64), training=True)["joints"], loaded["joints"])


def test_joint_names_give_sides_torso_and_head() -> None:
    assert mirror_order(JOINTS) == [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13]
    assert mirror_order(MPII) == [5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10]
    assert mirror_order(COCO)[:5] == [0, 2, 1, 4, 3]
    assert mirror_order(["Left Eye", "right eye", "beak", "left wing"]) == [1, 0, 2, 3]
    assert (torso(JOINTS), head_segment(JOINTS)) == ((9, 2), (13, 12))
    assert (torso(MPII), head_segment(MPII)) == ((13, 2), (9, 8))
    assert (torso(COCO), head_segment(COCO)) == ((5, 12), None)
    assert torso(["beak", "tail"]) is None


def test_flip_swaps_left_and_right() -> None:
    """A head that predicts the flipped people with left and right swapped has no loss on flipped targets."""
    crops, head = some_crops(), build()
    moved = crops.joints.clone()
    moved[..., 0] = 63 - moved[..., 0]
    for names, order in ((JOINTS, mirror_order(JOINTS)), (tuple("abcdefghijklmn"), list(range(14)))):
        head = build(names)
        head.forward = lambda _, order=order: render_heatmaps(moved[:, order], (16, 16), 4, 2.0)  # type: ignore[method-assign]
        flipped = replace(crops, joints=mirrored(crops.joints), mirrored=torch.ones(2, dtype=torch.bool))
        assert float(TASK.loss(head, [], flipped)) < 1e-6
        assert float(TASK.loss(head, [], crops)) > 0.1
    assert torch.allclose(mirrored(mirrored(crops.joints)), crops.joints, atol=1e-4)


def mirrored(joints: torch.Tensor) -> torch.Tensor:
    view = whole((64, 64), mirrored=True)
    return torch.stack([view.apply_to_coordinates({"joints": person})["joints"] for person in joints])


def test_loss_ignores_joints_that_are_not_labelled_or_outside() -> None:
    crops, head = some_crops(), build()
    hidden = crops.joints.clone()
    hidden[:, 3, 2] = 0
    hidden[:, 5, 0] = 64
    elsewhere = hidden.clone()
    elsewhere[:, 3, :2] = 7
    elsewhere[:, 5, 0] = -30
    losses = [TASK.loss(head, pyramid(), replace(crops, joints=j)) for j in (crops.joints, hidden, elsewhere)]
    assert losses[1] == losses[2] < losses[0]
    unlabelled = torch.zeros_like(crops.joints)
    assert TASK.loss(head, pyramid(), replace(crops, joints=unlabelled)) == 0


def test_loss_of_empty_heatmaps_is_one() -> None:
    joints = torch.tensor([[[64.0, 64.0, 2.0]]])
    for sigma in (1.0, 2.0, 3.0):
        assert float(heatmap_loss(torch.zeros(1, 1, 32, 32), joints, 4, sigma)) == pytest.approx(1, abs=1e-3)


def test_the_mean_loss_differs_by_a_constant_factor() -> None:
    joints, heatmaps = some_crops().joints, torch.rand(2, 14, 16, 12)
    scaled, mean = (heatmap_loss(heatmaps, joints, 4, 2.0, mean=mean) for mean in (False, True))
    assert float(mean) == pytest.approx(float(scaled) * math.pi * 4 / (16 * 12))


@pytest.mark.parametrize(("x", "inside", "outside"), [(-0.4, 1, 1), (-0.6, 0, 1), (-26, 0, 1), (-27, 0, 0)])
def test_joints_outside_count_up_to_three_sigma(x: float, inside: int, outside: int) -> None:
    joints = torch.tensor([[[x, 30.0, 2.0]], [[63 - x, 30.0, 1.0]]])  # at the same distance from both edges
    for flag, counts in ((False, inside), (True, outside)):
        loss = heatmap_loss(torch.ones(2, 1, 16, 16), joints, 4, 2.0, outside=flag)
        assert bool(loss) == bool(counts)


@pytest.mark.parametrize("settings", [{"init": "he"}, {"outside": 1}, {"mean_loss": "yes"}])
def test_wrong_settings_of_published_heads_are_refused_in_one_line(settings: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"^head [^\n]+$"):
        build(**settings)


def test_the_start_of_mmpose_changes_the_transposed_convolutions_alone() -> None:
    heads = [build(init=init) for init in ("torch", "mmpose")]
    for head in heads:
        initialise(head, 0)
    for (name, plain), small in zip(heads[0].named_parameters(), heads[1].parameters(), strict=True):
        assert torch.equal(plain, small) == (plain.ndim < 4 or name.startswith("classify"))
    assert float(heads[1].deconvolutions[0][0].weight.std()) == pytest.approx(0.001, rel=0.1)


def test_loss_is_finite_in_bfloat16_and_reaches_all_weights() -> None:
    head = build(laterals=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss = TASK.loss(head, pyramid(), some_crops())
        assert head(pyramid()).dtype == torch.float32
    assert loss.dtype == torch.float32
    torch.autograd.backward(loss)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in head.parameters())


def test_decoding_inverts_rendering_up_to_a_quarter_of_a_pixel() -> None:
    generator = torch.Generator().manual_seed(0)
    joints = torch.rand(50, 3, 3, generator=generator) * 54 + 4
    points, scores = decode_heatmaps(render_heatmaps(joints, (16, 16), 4, 2.0), 4)
    assert float((points - joints[..., :2]).abs().max()) <= 1.0 + 1e-3  # a quarter of the stride of 4
    assert float(scores.min()) > 0.9
    corner = torch.tensor([[[1.5, 61.5, 2.0]]])
    assert decode_heatmaps(render_heatmaps(corner, (16, 16), 4, 2.0), 4)[0].tolist() == [[[1.5, 61.5]]]


@pytest.mark.parametrize("names", [JOINTS, MPII, COCO])
@pytest.mark.parametrize("settings", [{}, {"laterals": True}, {"deconvolutions": 2}, {"deconvolutions": 0}])
def test_heads_of_any_joints(names: tuple[str, ...], settings: dict[str, Any]) -> None:
    head = build(names, **settings)
    side = 2 << settings.get("deconvolutions", 3)
    assert head(pyramid()).shape == (2, len(names), side, side)
    predicted = TASK.predict(head, pyramid(), some_crops(len(names)))
    assert predicted.shape == (2, len(names), 5)


def test_flip_test_averages_with_the_flipped_image() -> None:
    crops, head = some_crops(), build(flip_test=True)
    maps = render_heatmaps(crops.joints, (16, 16), 4, 2.0)
    flipped = maps[:, mirror_order(JOINTS)].flip(-1)
    head.forward = lambda _: torch.cat([maps, flipped])  # type: ignore[method-assign]
    plain = decode_heatmaps(maps, 4)[0]
    assert torch.equal(TASK.predict(head, [], crops)[..., :2], plain)
    head.forward = lambda _: maps  # type: ignore[method-assign]
    with pytest.raises(RecipeError, match="flipped images"):
        TASK.predict(head, [], crops)


@pytest.mark.parametrize(
    "settings",
    [
        *({"width": 0}, {"width": 8.0}, {"deconvolutions": 6}, {"deconvolutions": -1}, {"deconvolutions": True}),
        *({"sigma": 0}, {"sigma": "2"}, {"laterals": 1}, {"flip_test": "yes"}, {"depth": 3}),
    ],
)
def test_head_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=next(iter(settings))):
        build(**settings)


def test_data_without_joints_is_refused() -> None:
    with pytest.raises(RecipeError, match="choose data with keypoints"):
        build(())
