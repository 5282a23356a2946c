"""Our metrics equal those of the reference implementations on the same predictions."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.splits import image_split
from workers.data import Vocabulary, open_data
from workers.data.panoptic_ids import id2rgb
from workers.detectors import mmdet_loading
from workers.errors import BadDataFailure
from workers.metrics.panoptic_quality import match_segments
from workers.targets.objects import Detections, ObjectTargets, encode_mask
from workers.tasks import get_task

IMAGES = 12


@pytest.fixture(scope="module")
def batch() -> tuple[ObjectTargets, list[Detections], Vocabulary]:
    """Targets of `shapes`, and predictions that are correct, shifted, of another class or missing."""
    rng, data = np.random.default_rng(0), open_data("shapes", "pano")
    detections = list[Detections]()
    for index in range(IMAGES):
        sample = data.sample("held-out", index)
        boxes, scores, labels, rles = [], [], [], []
        assert sample.panoptic is not None
        panoptic = np.roll(sample.panoptic, int(rng.integers(0, 4)), axis=1)
        for thing in sample.instances:
            if rng.random() < 0.2:
                continue
            shift = int(rng.integers(-3, 4))
            assert thing.mask is not None
            boxes.append(np.array(thing.box) + shift)
            labels.append(thing.category if rng.random() < 0.8 else (thing.category + 1) % 7)
            scores.append(rng.random())
            rles.append(encode_mask(np.roll(thing.mask, shift, axis=1)))
        order = np.argsort(-np.array(scores))
        detections.append(
            Detections(
                np.array(boxes).reshape(-1, 4)[order],
                np.array(scores)[order],
                np.array(labels, dtype=np.int64)[order],
                tuple(rles[i] for i in order),
                panoptic,
            )
        )
    targets = image_split("shapes", "pano", (96, 128), training=False).batch(range(IMAGES)).target
    return targets, detections, data.vocabulary("pano")


@pytest.mark.parametrize(("task", "kind", "ours"), [("det", "bbox", "box_ap"), ("iseg", "segm", "mask_ap")])
def test_average_precision_equals_that_of_mmdet(
    batch: tuple[ObjectTargets, list[Detections], Vocabulary], task: str, kind: str, ours: str
) -> None:
    targets, detections, vocabulary = batch
    metric = get_task(task).build_metric(vocabulary)
    metric.update(detections, targets)
    metrics = metric.compute()
    theirs = _mmdet_average_precision(targets, detections, vocabulary, kind)
    assert 0.05 < metrics[ours] < 0.95
    # mmdet rounds to three digits.
    assert metrics[ours] == pytest.approx(theirs[f"coco/{kind}_mAP"], abs=5.1e-4)
    assert metrics[f"{ours}50"] == pytest.approx(theirs[f"coco/{kind}_mAP_50"], abs=5.1e-4)


def _mmdet_average_precision(
    targets: ObjectTargets, detections: list[Detections], vocabulary: Vocabulary, kind: str
) -> dict[str, float]:
    mmdet_loading.load()
    from mmdet.evaluation import CocoMetric

    metric = CocoMetric(metric=[kind])
    metric.dataset_meta = {"classes": vocabulary.classes[: vocabulary.things]}
    samples = []
    for number, (truth, predicted) in enumerate(zip(targets.truths, detections, strict=True)):
        instances = [
            {
                "bbox": truth.boxes[i].tolist(),
                "bbox_label": int(truth.labels[i]),
                "mask": truth.rles[i],
                "ignore_flag": 0,
            }
            for i in range(len(truth.labels))
        ]
        pred = {"bboxes": torch.tensor(predicted.boxes), "scores": torch.tensor(predicted.scores)}
        pred |= {"labels": torch.tensor(predicted.labels), "masks": list(predicted.rles)}
        samples.append({"img_id": number, "ori_shape": truth.size, "instances": instances, "pred_instances": pred})
    metric.process({}, samples)
    result: dict[str, float] = metric.evaluate(len(samples))
    return result


def test_panoptic_quality_equals_that_of_mmdet(
    batch: tuple[ObjectTargets, list[Detections], Vocabulary], tmp_path: Path
) -> None:
    targets, detections, vocabulary = batch
    metric = get_task("pano").build_metric(vocabulary)
    metric.update(detections, targets)
    metrics = metric.compute()
    theirs = _mmdet_panoptic_quality(targets, detections, vocabulary, tmp_path)
    assert 0.2 < metrics["pq"] < 0.99
    for ours, name in (("pq", "PQ"), ("sq", "SQ"), ("rq", "RQ"), ("pq_things", "PQ_th"), ("pq_stuff", "PQ_st")):
        assert 100 * metrics[ours] == pytest.approx(theirs[f"coco_panoptic/{name}"], abs=1e-9)


def _mmdet_panoptic_quality(
    targets: ObjectTargets, detections: list[Detections], vocabulary: Vocabulary, folder: Path
) -> dict[str, float]:
    mmdet_loading.load()
    from mmdet.evaluation import CocoPanopticMetric

    images, annotations, samples = [], [], []
    for number, (annotated, predicted) in enumerate(zip(targets.truths, detections, strict=True)):
        truth, name = annotated.panoptic, f"{number}.png"
        assert truth is not None
        assert predicted.panoptic is not None
        height, width = truth.shape
        Image.fromarray(id2rgb(np.where(truth < 0, 0, truth + 1))).save(folder / name)
        segments = [
            {"id": int(i) + 1, "category_id": int(i) // 1000, "iscrowd": 0, "area": int((truth == i).sum())}
            for i in np.unique(truth[truth >= 0])
        ]
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        annotations.append({"image_id": number, "file_name": name, "segments_info": segments})
        # mmdet's own convention: class + 1000 * number, the number of classes for void.
        ids = np.where(
            predicted.panoptic < 0,
            len(vocabulary.classes),
            predicted.panoptic // 1000 + 1000 * (predicted.panoptic % 1000),
        )
        pred = {"sem_seg": torch.tensor(ids)[None]}
        samples.append({"img_id": number, "img_path": name, "ori_shape": truth.shape, "pred_panoptic_seg": pred})
    categories = [{"id": i, "name": n, "isthing": int(i < vocabulary.things)} for i, n in enumerate(vocabulary.classes)]
    file = folder / "panoptic.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    metric = CocoPanopticMetric(ann_file=str(file), seg_prefix=str(folder), nproc=1)
    metric.dataset_meta = {
        "classes": vocabulary.classes,
        "thing_classes": vocabulary.classes[: vocabulary.things],
        "stuff_classes": vocabulary.classes[vocabulary.things :],
    }
    metric.process({}, samples)
    result: dict[str, float] = metric.evaluate(len(samples))
    return result


def test_correct_predictions_score_one(batch: tuple[ObjectTargets, list[Detections], Vocabulary]) -> None:
    targets, _, vocabulary = batch
    correct = [
        Detections(truth.boxes, np.ones(len(truth.labels)), truth.labels, truth.rles, truth.panoptic)
        for truth in targets.truths
    ]
    pano = get_task("pano")
    for metric in (
        pano.build_metric(vocabulary),
        *(pano.build_companion_metric(task, vocabulary) for task in pano.companions),
    ):
        metric.update(correct, targets)
        metrics = metric.compute()
        assert min(metrics.values()) == pytest.approx(1.0)


def test_panoptic_matching_against_hand_counts() -> None:
    truth = np.array([[1001, 1001, 1001, 2000], [1002, 1002, 2000, -1]], dtype=np.int32)
    predicted = np.array([[1001, 1001, 2000, 2000], [1005, 3001, 2000, 2000]], dtype=np.int32)
    stat = match_segments(truth, frozenset(), predicted)
    # 1001: 2 of 3 pixels match. 1002: an IoU of one half is no match, but a false negative and two false positives.
    assert (stat[1].tp, stat[1].fn, stat[1].fp, stat[3].fp) == (1, 1, 1, 1)
    assert stat[1].iou == pytest.approx(2 / 3)
    # 2000: 2 shared of a union of 3, the pixel on void left out.
    assert stat[2].iou == pytest.approx(2 / 3)


def test_no_objects_to_find_is_bad_data() -> None:
    with pytest.raises(BadDataFailure, match="no objects"):
        get_task("det").build_metric(Vocabulary(("a",), 1)).compute()
