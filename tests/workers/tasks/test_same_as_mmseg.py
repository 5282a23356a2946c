"""Training by the recipes for semantic segmentation gives the losses of mmseg's own Runner.

mmseg is not part of the project's environment: `pip install --no-deps mmsegmentation==1.2.2 ftfy prettytable wcwidth`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from tests.support.real_data import real_data_folder
from tests.support.same_training import double_network, recipe_losses, runner_losses
from workers.detectors import mmcv_ops
from workers.loading.batches import ImageSplit
from workers.loading.reader import ExampleReader, ExampleSource
from workers.messages.recipe import Recipe
from workers.messages.recipe_files import load_recipe
from workers.training.full import Network

STEPS, SIZE = 10, (96, 128)
CONFIGS = {"ade20k": "fpn_r50_4xb4-160k_ade20k-512x512.py", "cityscapes": "fpn_r50_4xb2-80k_cityscapes-512x1024.py"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def configs() -> Path:
    """The folder of mmseg's configurations of semantic FPN. mmseg imports mmcv's compiled operations."""
    mmcv_ops.install()
    mmseg = pytest.importorskip("mmseg", reason="mmseg is not installed: see this file's first lines")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mmseg.utils import register_all_modules

        register_all_modules(init_default_scope=False)
    return Path(mmseg.__file__).parent / ".mim" / "configs" / "sem_fpn"


def short_recipe(tier: str, **fields: Any) -> Recipe:
    """Return a shipped recipe, for a few steps of two small images and a backbone without weights."""
    config = load_recipe(tier, "seg", "nasbench201")  # its normalisation of pixels is mmseg's
    small = {"steps": STEPS, "batch": 2, "input_size": SIZE, "eval_size": None, "body": {"pretrained": "none"}}
    pixels = {"backbone_pixels": False, "pixel_mean": config.pixel_mean, "pixel_std": config.pixel_std}
    return load_recipe(tier, "seg", "zoo", small | pixels | fields)


def mmseg_batches(data: ImageSplit) -> Iterator[dict[str, Any]]:
    """The same batches as mmseg's own pipelines pack them: blue, green, red."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    for (batch,) in data.training(STEPS, seed=0):
        samples = []
        for truth in batch.target:
            size = tuple(truth.shape)
            sample = SegDataSample(metainfo={"img_shape": size, "ori_shape": size})
            sample.gt_sem_seg = PixelData(data=truth[None].long())
            samples.append(sample)
        yield {"inputs": [image.flip(0) for image in batch.images], "data_samples": samples}


def mmseg_weights(network: Network, *, deep_stem: bool) -> dict[str, torch.Tensor]:
    """Return copies of the network's weights under mmseg's names."""
    weights = {}
    for name, value in network.body.state_dict().items():
        name = name.removeprefix("network.")
        if deep_stem:
            name = name.replace("bn1.", "stem.7.", 1) if name.startswith("bn1.") else name
            name = name.replace("conv1.", "stem.", 1) if name.startswith("conv1.") else name
        weights[f"backbone.{name}"] = value
    for name, value in network.head.state_dict().items():
        kind, *rest = name.split(".")
        if kind in ("laterals", "filters"):
            part = "lateral_convs" if kind == "laterals" else "fpn_convs"
            weights[f"neck.{part}.{rest[0]}.conv.{rest[1]}"] = value
        elif kind == "branches":
            level, layer, parameter = int(rest[0]), int(rest[1]), rest[2]
            # A block is a convolution, a norm, a ReLU and, except on the finest level, an upsampling.
            position, part = divmod(layer, 4 if level else 3)
            block = 2 * position if level else position
            weights[f"decode_head.scale_heads.{level}.{block}.{('conv', 'bn')[part]}.{parameter}"] = value
        else:
            weights[f"decode_head.conv_seg.{rest[0]}"] = value
    return weights


def mmseg_model(whole: Config, network: Network, classes: int, depth: int) -> dict[str, Any]:
    """Return mmseg's model with a small backbone, norms of one machine, no downloads and our number of classes."""
    norm, channels = {"type": "BN", "requires_grad": True}, list(network.body.channels)
    model: dict[str, Any] = whole.model
    model["pretrained"] = None
    model["backbone"] |= {"depth": depth, "norm_cfg": norm} | ({} if depth == 50 else {"type": "ResNet"})
    model["neck"]["in_channels"] = channels
    model["decode_head"] |= {"norm_cfg": norm, "num_classes": classes}
    model["data_preprocessor"] |= {"size": SIZE}
    return model


@pytest.mark.parametrize(
    ("tier", "depth", "spec"),
    [
        ("ade20k", 18, "shapes"),
        ("cityscapes", 18, "shapes"),
        ("ade20k", 50, "shapes"),
        pytest.param("ade20k", 18, "masks:{}/camvid", marks=pytest.mark.real),
    ],
)
def test_losses_equal_those_of_mmsegs_runner(
    configs: Path, tier: str, depth: int, spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Depth 50 is the published network, ResNet-50 with the stem of ResNet-V1c, which is resnet50c in timm."""
    if "{}" in spec:
        spec = spec.format(real_data_folder("camvid"))
    # At the recipe's rate a deep network amplifies 1e-14 of one weight to 5e-4 of the loss in six steps.
    recipe = short_recipe(tier, **({"lr": 1e-4} if depth == 50 else {}))
    data = ImageSplit(ExampleReader(ExampleSource(spec, "seg", recipe, True)))
    network = double_network("resnet50c" if depth == 50 else f"resnet{depth}", recipe, data)
    whole = Config.fromfile(str(configs / CONFIGS[tier]))
    whole.param_scheduler[0] |= {"end": STEPS, "eta_min": recipe.lr * recipe.final_lr}
    whole.optim_wrapper.optimizer.lr = recipe.lr
    classes = len(data.reader.data.vocabulary("seg").classes)
    model = mmseg_model(whole, network, classes, depth)
    weights = mmseg_weights(network, deep_stem=depth == 50)
    theirs = runner_losses(model, weights, mmseg_batches(data), whole, "mmseg", tmp_path)
    pixels = recipe.batch * math.prod(SIZE)
    rounding = pixels / (pixels + torch.finfo(torch.float32).eps)  # mmseg adds it to the divisor of a mean
    ours = recipe_losses(network, data, recipe, monkeypatch, rounding)
    print(f"{tier} {depth} {spec}: largest difference {max(abs(a - b) for a, b in zip(ours, theirs, strict=True)):.1e}")
    assert ours == pytest.approx(theirs, abs=1e-6)
    assert len(set(theirs)) == STEPS


def test_initial_weights_of_the_head_are_distributed_as_mmsegs(configs: Path) -> None:
    from mmseg.registry import MODELS

    recipe = short_recipe("ade20k")
    data = ImageSplit(ExampleReader(ExampleSource("shapes", "seg", recipe, True)))
    network = double_network("resnet18", recipe, data)
    whole = Config.fromfile(str(configs / CONFIGS["ade20k"]))
    with DefaultScope.overwrite_default_scope("mmseg"):
        theirs = MODELS.build(ConfigDict(mmseg_model(whole, network, 19, 18)))
    theirs.init_weights()
    ours = mmseg_weights(network, deep_stem=False)
    compared = 0
    for name, value in theirs.named_parameters():
        if name.startswith("backbone") or name.startswith("decode_head.conv_seg"):
            continue
        compared += 1
        spread = float(value.std()) if value.numel() > 1 else 0.0
        assert float(ours[name].std()) == pytest.approx(spread, rel=0.03, abs=1e-12), name
        assert float(ours[name].abs().max()) == pytest.approx(float(value.abs().max()), rel=0.35, abs=1e-12), name
        assert float(ours[name].mean()) == pytest.approx(float(value.mean()), abs=0.05 * spread + 1e-12), name
    assert compared == 16 + 21
    for classify in (network.head.classify, theirs.decode_head.conv_seg):
        assert float(classify.weight.std()) == pytest.approx(0.01, rel=0.2)
        assert not classify.bias.any()
