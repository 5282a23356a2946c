"""Trainings to the end: by our recipe and loaders, and by mmdet's own pipelines, Runner and metric."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import fmean, stdev

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.runner import Runner

from tests.support.real_data import real_data_folder
from workers.data import open_data
from workers.detectors import mmdet_loading
from workers.detectors.config import detector_config
from workers.messages.architecture import Architecture
from workers.messages.label import LabelJob, LabelRequest
from workers.messages.recipe import Recipe
from workers.messages.recipe_files import load_recipe
from workers.spaces import get_space
from workers.tasks import get_task
from workers.training.full import FullEvaluator, build_network, initialise

MODEL = {"model": "resnet18"}
SIZE = (96, 128)
STEPS, BATCH, WARMUP, LR, WIDTH, SEEDS = 250, 8, 25, 0.005, 64, 3
MAX_NORM = 10.0  # of gradients in both trainings: a backbone from nothing can diverge without it
CONFIGS = {
    "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py": "det",
    "retinanet/retinanet_r50_fpn_1x_coco.py": "det",
    "atss/atss_r50_fpn_1x_coco.py": "det",
    "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py": "iseg",
}


def recipe_of(config: str, task: str, folder: Path) -> Recipe:
    """The recipe of a configuration, shortened, for a backbone from nothing."""
    fields = {"name": "t", "task": task, "from_config": f"mmdet:{config}", "keep_ratio": False}
    fields |= {"input_size": list(SIZE), "batch": BATCH, "steps": STEPS, "epochs": None, "lr": LR}
    fields |= {"warmup_steps": WARMUP, "head": {"width": WIDTH}, "clip_norm": MAX_NORM}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(fields))
    return load_recipe(str(folder / "recipe.yaml"), task, "zoo")


def own_ap(spec: str, recipe: Recipe, seed: int) -> float:
    data = open_data(spec, recipe.task)
    architecture = Architecture.of("zoo", MODEL)
    request = LabelRequest(architecture, recipe.task, data.spec, data.fingerprint(), "full", recipe, seed)
    return FullEvaluator()(LabelJob(request, "c")).value


def mmdet_ap(config: str, folder: Path, recipe: Recipe, seed: int, out: Path) -> float:
    """Train and evaluate by mmdet alone, but for the backbone, which is ours, and the shorter schedule."""
    mmdet_loading.load()
    cfg = Config.fromfile(str(mmdet_loading.shipped_configs() / config))
    files = {part: folder / "annotations" / name for part, name in annotation_files(folder).items()}
    classes = tuple(c["name"] for c in json.loads(files["train"].read_text())["categories"])
    vocabulary = open_data(f"coco:{folder}", recipe.task).vocabulary(recipe.task)
    channels = get_space("zoo").build(Architecture.of("zoo", MODEL)).channels
    model = detector_config(channels, vocabulary, recipe.head, "")
    model["backbone"] = {"type": "SpaceBody", "space": "zoo", "genotype": MODEL}
    model["data_preprocessor"] = cfg.model.data_preprocessor.to_dict()
    cfg.model = model
    resize = {"type": "Resize", "scale": (SIZE[1], SIZE[0]), "keep_ratio": False}
    for part, loader in (("train", cfg.train_dataloader), ("val", cfg.val_dataloader)):
        dataset = loader.dataset
        dataset |= {"ann_file": str(files[part]), "data_root": "", "metainfo": {"classes": classes}}
        dataset.data_prefix = {"img": str(image_folder(folder, files[part]))}
        dataset.pipeline = [resize if t["type"] == "Resize" else t for t in dataset.pipeline]
        loader |= {"num_workers": 0, "persistent_workers": False, "batch_size": BATCH if part == "train" else 1}
    cfg.train_dataloader.sampler = {"type": "InfiniteSampler", "shuffle": True, "seed": seed}
    cfg.train_dataloader.batch_sampler = None
    cfg.val_evaluator.ann_file = str(files["val"])
    rise, drops = cfg.param_scheduler
    rise.end = WARMUP
    milestones = [round(epoch / 12 * STEPS) for epoch in drops.milestones]
    cfg.param_scheduler = [rise, dict(drops) | {"milestones": milestones, "by_epoch": False, "end": STEPS}]
    cfg.optim_wrapper.optimizer.lr = LR
    cfg.optim_wrapper.clip_grad = {"max_norm": MAX_NORM}
    cfg.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": STEPS, "val_interval": 2 * STEPS}
    cfg.default_hooks.checkpoint = None
    del cfg.default_hooks["visualization"]
    cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = None
    cfg.work_dir, cfg.randomness, cfg.log_level = str(out), {"seed": seed}, "ERROR"
    cfg.experiment_name = f"t{time.monotonic_ns()}"
    runner = Runner.from_cfg(cfg)
    network = build_network(Architecture.of("zoo", MODEL), recipe, get_task(recipe.task), vocabulary)
    initialise(network, seed)
    runner.model.backbone.body.load_state_dict(network.body.state_dict())
    runner.train()
    metrics = runner.val_loop.run()
    return float(metrics.get("coco/segm_mAP" if recipe.task == "iseg" else "coco/bbox_mAP", 0.0))


def annotation_files(folder: Path) -> dict[str, str]:
    names = sorted(path.name for path in (folder / "annotations").glob("*.json"))
    return {part: next(name for name in names if part in name) for part in ("train", "val")}


def image_folder(folder: Path, annotations: Path) -> Path:
    name = json.loads(annotations.read_text())["images"][0]["file_name"]
    return next(path for path in (folder / "images", *(folder / "images").iterdir()) if (path / name).is_file())


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("data", ["pennfudan", "bccd"])
@pytest.mark.parametrize("config", CONFIGS)
def test_average_precision_is_that_of_mmdet(config: str, data: str, tmp_path: Path) -> None:
    task = CONFIGS[config]
    if task == "iseg" and data == "bccd":
        pytest.skip("bccd has no masks")
    torch.set_num_threads(1)
    folder = real_data_folder("pennfudan and bccd") / data
    recipe = recipe_of(config, task, tmp_path)
    ours = [own_ap(f"coco:{folder}", recipe, seed) for seed in range(SEEDS)]
    theirs = [mmdet_ap(config, folder, recipe, seed, tmp_path / str(seed)) for seed in range(SEEDS)]
    spread = (stdev(ours) ** 2 + stdev(theirs) ** 2) ** 0.5
    print(f"{config} {data}: ours {ours}, mmdet's {theirs}, difference {fmean(ours) - fmean(theirs):.4f}, {spread:.4f}")
    assert abs(fmean(ours) - fmean(theirs)) < 2 * spread + 0.01
