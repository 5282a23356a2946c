"""PCK by hand, OKS AP against pycocotools, perfect predictions."""

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.support.splits import image_split
from workers.data import Vocabulary, open_data
from workers.targets.people import PersonCrops
from workers.tasks import get_task
from workers.tasks.keypoint_heatmaps import decode_heatmaps, render_heatmaps

TASK = get_task("pose")


def vocabulary_of(joints: tuple[str, ...], sigmas: tuple[float, ...] = ()) -> Vocabulary:
    return Vocabulary(("person",), 1, joints, sigmas)


def people(joints: torch.Tensor, images: list[int], side: float = 100.0) -> PersonCrops:
    """Crops at the scale of their images, with square boxes."""
    count = len(joints)
    box = torch.tensor([0.0, 0.0, side, side / 2]).expand(count, 4)
    area, mirrored = torch.full((count,), side**2 / 2), torch.zeros(count, dtype=torch.bool)
    return PersonCrops(joints, torch.ones(count, 2), torch.zeros(count, 2), box, area, torch.tensor(images), mirrored)


def score(predicted: torch.Tensor, crops: PersonCrops, vocabulary: Vocabulary) -> dict[str, float]:
    """predicted: (N, J, 3) x, y, score."""
    metric = TASK.build_metric(vocabulary)
    for part in (slice(0, 1), slice(1, None)):  # in two batches
        tensors = {
            n: getattr(crops, n)[part] for n in ("joints", "scale", "offset", "box", "area", "image", "mirrored")
        }
        if len(tensors["joints"]):
            metric.update(torch.cat([predicted[part, :, :2], predicted[part]], -1), PersonCrops(**tensors))
    return metric.compute()


def moved(joints: torch.Tensor, by: list[list[float]]) -> torch.Tensor:
    predicted = joints.clone()
    predicted[..., 0] += torch.tensor(by)
    predicted[..., 2] = 1.0
    return predicted


def test_pck_by_hand() -> None:
    names = ("left_shoulder", "right_hip", "head_top", "neck", "nose")
    # Torso 50 long, head segment 20; the box's longer side is 100.
    joints = torch.tensor([[[30, 40, 2], [0, 0, 1], [60, 20, 2], [60, 40, 2], [70, 70, 0]]] * 2, dtype=torch.float32)
    joints[1, 1, 2] = 0  # no torso, so by the box
    predicted = moved(joints, [[9.9, 10.1, 9.9, 10.1, 0], [19.9, 0, 20.1, 9.9, 99]])
    metrics = score(predicted, people(joints, [1, 2]), vocabulary_of(names))
    # First: errors up to 10 count: 2 of 4. Second: up to 20, of three labelled: 2 of 3.
    assert metrics["pck"] == pytest.approx(4 / 7)
    assert metrics["pck_torso"] == pytest.approx(2 / 4)
    assert metrics["pck_box"] == pytest.approx(2 / 3)
    # Up to half the head segment, 10: 9.9, 9.9 of four; 9.9 of three.
    assert metrics["pckh"] == pytest.approx(3 / 7)


def test_metric_names_distinguish_torso_and_box() -> None:
    joints = torch.tensor([[[30, 40, 2], [0, 0, 2]]], dtype=torch.float32)
    predicted = moved(joints, [[0, 21]])
    by_box = score(predicted, people(joints, [1]), vocabulary_of(("beak", "tail")))
    assert by_box == pytest.approx({"pck": 0.5, "pck_box": 0.5, "oks_ap": by_box["oks_ap"], "oks_ap50": 0, **by_box})
    assert set(by_box) == {"pck", "pck_box", "oks_ap", "oks_ap50"}
    by_torso = score(predicted, people(joints, [1]), vocabulary_of(("Left Shoulder", "r_hip")))
    assert set(by_torso) == {"pck", "pck_torso", "oks_ap", "oks_ap50"}


def test_metrics_are_zero_without_labelled_joints() -> None:
    joints = torch.zeros(2, 3, 3)
    assert set(score(joints, people(joints, [1, 2]), vocabulary_of(("a", "b", "c"))).values()) == {0.0}


@pytest.mark.parametrize(("count", "given"), [(14, False), (16, False), (17, False), (17, True), (5, True)])
def test_oks_ap_equals_pycocotools(count: int, given: bool, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(count)
    joints = torch.tensor(rng.uniform((0, 0, 0), (100, 50, 3), (12, count, 3)), dtype=torch.float32)
    joints[..., 2] = joints[..., 2].floor()
    joints[3, :, 2] = 0
    predicted = joints.clone()
    predicted[..., :2] += torch.tensor(rng.normal(0, rng.uniform(0.5, 8, (12, 1, 1)), (12, count, 2)))
    predicted[..., 2] = torch.tensor(rng.uniform(0, 1, (12, count)))
    images = [1, 1, 1, 2, 2, 3, 4, 5, 6, 7, 7, 7]
    sigmas = tuple(rng.uniform(0.03, 0.1, count).tolist()) if given else (0.05,) * count
    metrics = score(
        predicted, people(joints, images), vocabulary_of(tuple(f"joint {i}" for i in range(count)), sigmas * given)
    )
    assert capsys.readouterr().out == ""
    expected = pycocotools_oks_ap(joints, predicted, images, sigmas)
    assert metrics["oks_ap"] == pytest.approx(expected[0])
    assert metrics["oks_ap50"] == pytest.approx(expected[1])
    assert 0.05 < metrics["oks_ap"] < 0.95


def pycocotools_oks_ap(
    joints: torch.Tensor, predicted: torch.Tensor, images: list[int], sigmas: tuple[float, ...]
) -> list[float]:
    truth, results = COCO(), []
    annotations = []
    for i, image in enumerate(images):
        base = {"image_id": image, "category_id": 1}
        labelled = int((joints[i, :, 2] > 0).sum())
        known = {"id": i + 1, "bbox": [0, 0, 100, 50], "area": 5000, "iscrowd": 0, "num_keypoints": labelled}
        annotations.append(base | known | {"keypoints": joints[i].flatten().tolist()})
        results.append(base | {"keypoints": predicted[i].flatten().tolist(), "score": float(predicted[i, :, 2].mean())})
    truth.dataset = {
        "images": [{"id": i} for i in sorted(set(images))],
        "categories": [{"id": 1}],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(v) for v in evaluation.stats[:2]]


def test_perfect_predictions() -> None:
    data = open_data("shapes:held_out=30", "pose")
    split = image_split("shapes:held_out=30", "pose", (128, 128), training=False)
    crops = split.batch(range(len(split))).target
    inside = ((crops.joints[..., :2] >= 0) & (crops.joints[..., :2] < 128)).all(-1)  # others cannot be predicted
    crops.joints[..., 2] *= inside
    points, scores = decode_heatmaps(render_heatmaps(crops.joints, (32, 32), 4, 2.0), 4)
    metric = TASK.build_metric(data.vocabulary("pose"))
    metric.update(torch.cat([points, crops.to_image_pixels(points), scores[..., None]], -1), crops)
    metrics = metric.compute()
    assert metrics["pck"] >= 0.99
    assert metrics["pckh"] >= 0.99
    assert metrics["oks_ap"] >= 0.95
    assert metrics["oks_ap50"] >= metrics["oks_ap"]
    shifted = replace(crops, offset=crops.offset + 1000)
    metric = TASK.build_metric(data.vocabulary("pose"))
    metric.update(torch.cat([points, crops.to_image_pixels(points), scores[..., None]], -1), shifted)
    assert metric.compute()["pck"] == 0.0
