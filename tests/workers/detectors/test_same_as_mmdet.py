"""Training by a recipe read from an mmdet configuration gives the losses of mmdet's own Runner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config

from tests.support.same_training import double_network, recipe_losses, runner_losses
from tests.support.splits import image_split
from workers.data.base import Vocabulary
from workers.detectors import mmdet_loading
from workers.detectors.config import detector_config
from workers.loading.batches import ImageSplit
from workers.messages.recipe import Recipe
from workers.messages.recipe_files import load_recipe
from workers.training.full import Network

STEPS = 10
CONFIGS = {
    "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py": "det",
    "retinanet/retinanet_r50_fpn_1x_coco.py": "det",
    "atss/atss_r50_fpn_1x_coco.py": "det",
    "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py": "iseg",
}


def recipe_of(config: str, task: str, folder: Path, **fields: Any) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(f"name: t\ntask: {task}\nfrom_config: mmdet:configs/{config}\nkeep_ratio: false\n")
    return load_recipe(str(path), task, "zoo", {"steps": STEPS, "batch": 2, **fields})


def mmdet_batches(data: ImageSplit) -> Iterator[dict[str, Any]]:
    """The same batches as mmdet's own pipelines pack them: blue, green, red, and masks as bitmaps."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    for (batch,) in data.training(STEPS, seed=0):
        samples = []
        for target in batch.target.images:
            height, width = target.canvas
            assert target.content == target.canvas
            assert not target.crowd.any()
            truth = InstanceData(bboxes=target.boxes, labels=target.labels)
            if target.masks is not None:
                truth.masks = BitmapMasks(target.masks.numpy().astype(np.uint8), height, width)
            sample = DetDataSample(
                metainfo={"img_shape": (height, width), "ori_shape": (height, width), "scale_factor": (1, 1)}
            )
            sample.gt_instances = truth
            sample.ignored_instances = InstanceData(bboxes=torch.zeros((0, 4)), labels=torch.zeros(0).long())
            samples.append(sample)
        yield {"inputs": [image.flip(0) for image in batch.images], "data_samples": samples}


def mmdet_losses(config: str, network: Network, depth: int, data: ImageSplit, recipe: Recipe, out: Path) -> list[float]:
    """Train mmdet's detector from the same weights by its own Runner, optimizer and schedule."""
    mmdet_loading.load()
    whole = Config.fromfile(str(mmdet_loading.shipped_configs() / config))
    rise, drops = whole.param_scheduler
    rise.start_factor = recipe.warmup_start  # a rate that shows in ten steps
    milestones = [round(epoch / whole.train_cfg.max_epochs * STEPS) for epoch in drops.milestones]
    drops |= {"milestones": milestones, "by_epoch": False, "end": STEPS}  # all twelve epochs in ten steps
    vocabulary: Vocabulary = data.reader.data.vocabulary(recipe.task)
    model = detector_config(network.body.channels, vocabulary, recipe.head, "")
    model |= {"backbone": whole.model.backbone | {"depth": depth, "init_cfg": None}}
    model |= {"data_preprocessor": whole.model.data_preprocessor}
    weights = {f"backbone.{k.removeprefix('network.')}": v for k, v in network.body.state_dict().items()}
    weights |= dict(network.head.detector.state_dict())
    return runner_losses(model, weights, mmdet_batches(data), whole, "mmdet", out)


SMALL, WHOLE = (18, 64, (96, 128)), (50, 256, (192, 256))  # depth of the ResNet, width, input size


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("config", "depth", "width", "size"),
    [
        pytest.param(config, *case, marks=() if case is SMALL and "mask" in config else pytest.mark.slow)
        for config in CONFIGS
        for case in (SMALL, WHOLE)
    ],
)
def test_losses_equal_those_of_mmdets_runner(
    config: str, depth: int, width: int, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = CONFIGS[config]
    recipe = recipe_of(config, task, tmp_path, input_size=size, head={"width": width}, warmup_start=0.05)
    data = image_split("shapes", task, size, batch=2, flip=recipe.flip)
    # In float64: mmdet's matching turns a rounding error of float32 into another sample.
    network = double_network(f"resnet{depth}", recipe, data)
    network.body.keeps_weights = True  # as pretrained ones, so that stages and norms are frozen
    theirs = mmdet_losses(config, network, depth, data, recipe, tmp_path)
    ours = recipe_losses(network, data, recipe, monkeypatch, double_losses=False)  # mmdet's heads are used by both
    print(f"{config}: largest difference {max(abs(a - b) for a, b in zip(ours, theirs, strict=True)):.1e}")
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert len(set(theirs)) == STEPS
