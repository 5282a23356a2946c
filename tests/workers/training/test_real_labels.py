"""One label per task on real data with the laptop recipe: far above chance, or the recipe is broken."""

import os

import pytest
import torch

from workers.messages.architecture import Architecture
from workers.messages.label import LabelJob, LabelRequest
from workers.messages.recipe_files import load_recipe
from workers.training.full import FullEvaluator


@pytest.mark.real
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("task", "data", "metric", "minimum"),
    [
        ("cls", "imagefolder:{}/cifar10", "top1", 0.4),
        ("det", "coco:{}/bccd", "box_ap50", 0.4),
        ("iseg", "coco:{}/pennfudan", "mask_ap50", 0.2),
        ("seg", "masks:{}/camvid", "miou", 0.3),
        ("pose", "coco:{}/lspet", "pck", 0.3),
    ],
)
def test_a_label_on_real_data(task: str, data: str, metric: str, minimum: float) -> None:
    if not os.path.isdir(os.environ.get("AIOP_DATA", "")):
        pytest.skip("AIOP_DATA NAMES NO FOLDER: point it at the folder that holds cifar10, bccd, pennfudan and so on")
    torch.set_num_threads(1)  # as an actor has
    cell = Architecture.of("nasbench201", {"ops": ["nor_conv_3x3", "skip_connect", "nor_conv_3x3"] * 2})
    recipe = load_recipe("laptop", task, "nasbench201")
    spec = data.format(os.environ["AIOP_DATA"])
    label = FullEvaluator()(LabelJob(LabelRequest(cell, task, spec, "f", "full", recipe, 0), "c"))
    print(f"{task} {data}: {metric} {label.metrics[metric]:.3f}, {sum(label.seconds.values()):.0f} s")
    assert label.metrics[metric] >= minimum
