"""Recipes read from mmdet's configurations: what is read, what is refused, and the published recipes against them."""

from pathlib import Path
from typing import Any

import pytest

from workers.errors import RecipeError
from workers.messages.openmmlab_config import fields_from_config
from workers.messages.recipe_files import load_recipe

FASTER = "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"


def loaded(tmp_path: Path, text: str, task: str = "det", **overrides: Any) -> Any:
    path = tmp_path / "r.yaml"
    path.write_text(f"name: r\ntask: {task}\n{text}")
    return load_recipe(str(path), task, "nasbench201", overrides)


@pytest.mark.parametrize(
    ("which", "config"),
    [
        ("det.1x", FASTER),
        ("iseg.1x", "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"),
        ("pano.1x", "panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py"),
    ],
)
def test_the_1x_recipes_are_mmdets(tmp_path: Path, which: str, config: str) -> None:
    task = which.partition(".")[0]
    body = "body: {channels: [64, 128, 256, 512], cells: 2}\n"
    read = loaded(tmp_path, f"from_config: mmdet:configs/{config}\nhead: {{width: 256}}\n{body}", task)
    assert read.model_copy(update={"name": which}).hash == load_recipe("1x", task, "nasbench201").hash


def test_own_fields_and_overrides_replace_those_of_the_configuration(tmp_path: Path) -> None:
    text = f"from_config: mmdet:{FASTER}\nbatch: 4\nhead: {{width: 64}}\n"
    recipe = loaded(tmp_path, text)
    assert (recipe.batch, recipe.epochs, recipe.lr) == (4, 12.0, 0.02)
    assert recipe.head == {"config": FASTER, "width": 64}
    assert recipe.trainings(200)[1].steps == 12 * 200 / 4
    short = loaded(tmp_path, text, steps=30)
    assert (short.epochs, short.trainings(200)[1].steps) == (None, 30)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("mask_rcnn/mask-rcnn_r50-caffe_fpn_ms-1x_coco.py", None),
        ("mask_rcnn/mask-rcnn_r50-caffe_fpn_1x_coco.py", {"pixel_mean": [123.675, 116.28, 103.53]}),
        ("retinanet/retinanet_r50_fpn_ms-640-800-3x_coco.py", {"scale_range": [0.8, 1.0], "epochs": 36.0}),
        ("retinanet/retinanet_r50_fpn_amp-1x_coco.py", {"precision": "bfloat16"}),
        ("pvt/retinanet_pvt-t_fpn_1x_coco.py", {"optimizer": "adamw", "lr": 1e-4, "weight_decay": 1e-4}),
        ("faster_rcnn/faster-rcnn_r50_fpn_2x_coco.py", {"epochs": 24.0, "milestones": [0.666667, 0.916667]}),
    ],
)
def test_fields_of_mmdets_configurations(config: str, expected: dict[str, Any] | None) -> None:
    if expected is None:
        with pytest.raises(RecipeError, match=r"train_pipeline\.RandomChoiceResize"):
            fields_from_config(f"mmdet:{config}", Path("r.yaml"))
        return
    fields = fields_from_config(f"mmdet:{config}", Path("r.yaml"))
    for name, value in expected.items():
        assert fields[name] == value


CONFIG = """
model = dict(type='X', data_preprocessor=dict(mean=[1., 2., 3.], std=[1., 1., 1.]), backbone=dict(norm_eval=True))
train_cfg = dict(max_epochs=10)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
train_pipeline = [dict(type='Resize', scale=(320, 200), keep_ratio=True), dict(type='RandomFlip', prob=0.5)]
"""


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("optim_wrapper = dict(optimizer=dict(type='Lion', lr=0.1))", "optimizer Lion: must be SGD, Adam or AdamW"),
        ("optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, nesterov=True))", "optimizer.nesterov"),
        ("optim_wrapper['accumulative_counts'] = 4", "optim_wrapper.accumulative_counts"),
        ("optim_wrapper['paramwise_cfg'] = dict(custom_keys=dict(head=dict(lr_mult=2)))", "paramwise_cfg.custom_keys"),
        ("optim_wrapper['paramwise_cfg'] = dict(norm_decay_mult=0.)", "paramwise_cfg.norm_decay_mult"),
        ("optim_wrapper['clip_grad'] = dict(max_norm=1, norm_type=1)", "clip_grad.norm_type"),
        ("param_scheduler = dict(type='ConstantLR', factor=0.3)", "param_scheduler.ConstantLR"),
        ("param_scheduler = dict(type='CosineAnnealingLR', begin=5, end=10)", "param_scheduler.CosineAnnealingLR"),
        ("train_pipeline.append(dict(type='Mosaic'))", "train_pipeline.Mosaic"),
        ("custom_hooks = [dict(type='EMAHook')]", "custom_hooks.EMAHook"),
        ("load_from = 'a.pth'", "load_from"),
        ("model['data_preprocessor']['batch_augments'] = [1]", "data_preprocessor.batch_augments"),
        ("train_cfg = dict()", "train_cfg has no max_epochs or max_iters"),
        ("model = None", "has no model"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_what_a_recipe_cannot_express_is_named(tmp_path: Path, lines: str, message: str) -> None:
    (tmp_path / "c.py").write_text(f"{CONFIG}\n{lines}\n")
    with pytest.raises(RecipeError) as caught:
        loaded(tmp_path, "from_config: c.py\n")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_unknown_parts_are_named_at_once_and_can_be_left_out(tmp_path: Path) -> None:
    lines = "train_pipeline.append(dict(type='Mosaic'))\ncustom_hooks = [dict(type='EMAHook')]\n"
    (tmp_path / "c.py").write_text(CONFIG + lines)
    with pytest.raises(RecipeError, match=r"custom_hooks\.EMAHook") as caught:
        loaded(tmp_path, "from_config: c.py\n")
    assert "train_pipeline.Mosaic" in str(caught.value)
    recipe = loaded(tmp_path, "from_config: {file: c.py, without: [Mosaic, EMAHook]}\n")
    assert (recipe.input_size, recipe.keep_ratio, recipe.flip) == ((224, 320), True, 0.5)
    assert recipe.pixel_mean == (3.0, 2.0, 1.0)  # colours were blue, green, red
    assert recipe.backbone_norm == "frozen"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from_config: 3\n", "write a file"),
        ("from_config: {file: c.py, with: []}\n", "write a file"),
        ("from_config: {file: c.py, without: Mosaic}\n", "list names"),
        ("from_config: mmdet:none/none.py\n", "check the name"),
        ("from_config: none.py\n", "check the name"),
    ],
)
def test_a_wrong_from_config_is_a_one_line_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        loaded(tmp_path, text)
