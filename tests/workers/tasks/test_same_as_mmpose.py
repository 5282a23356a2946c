"""Training by the recipes for pose gives the losses of mmpose's own Runner.

mmpose is not part of the project's environment. Build xtcocotools for the installed numpy:
`pip install cython && pip install --no-deps --no-build-isolation --no-binary xtcocotools xtcocotools==1.14.3`, then
`pip install --no-deps mmpose==1.3.2 json_tricks munkres`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from tests.support.real_data import real_data_folder
from tests.support.same_training import double_network, recipe_losses, runner_losses
from workers.detectors import mmcv_ops
from workers.loading.batches import ImageSplit
from workers.loading.reader import ExampleReader, ExampleSource
from workers.messages.recipe import Recipe
from workers.messages.recipe_files import load_recipe
from workers.targets.people import PersonCrops
from workers.tasks.pose import DeconvolutionHead
from workers.training.full import Network

STEPS = 10
CONFIG = "coco/td-hm_res50_dark-8xb64-210e_coco-256x192.py"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def config() -> Config:
    """mmpose's configuration of Simple Baselines with joints rendered where they are, which mmpose calls unbiased."""
    mmcv_ops.install()
    mmpose = pytest.importorskip("mmpose", reason="mmpose is not installed: see this file's first lines")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mmpose.models
    folder = Path(mmpose.__file__).parent / ".mim" / "configs" / "body_2d_keypoint" / "topdown_heatmap"
    return Config.fromfile(str(folder / CONFIG))


def short_recipe(size: tuple[int, int], **fields: Any) -> Recipe:
    """Return a shipped recipe, for a few steps of four people and a backbone without weights."""
    config = load_recipe("coco", "pose", "nasbench201")
    small = {"epochs": None, "steps": STEPS, "batch": 4, "input_size": size, "body": {"pretrained": "none"}}
    pixels = {"backbone_pixels": False, "pixel_mean": config.pixel_mean, "pixel_std": config.pixel_std}
    return load_recipe("coco", "pose", "zoo", small | pixels | fields)


def codec_of(config: Config, size: tuple[int, int], stride: int) -> Any:
    """Return mmpose's codec for inputs of (height, width)."""
    from mmpose.registry import KEYPOINT_CODECS

    height, width = size
    sizes = {"input_size": (width, height), "heatmap_size": (width // stride, height // stride)}
    codec = KEYPOINT_CODECS.build(dict(config.codec) | sizes)
    assert codec.unbiased
    return codec


def mmpose_batches(data: ImageSplit, head: DeconvolutionHead, codec: Any) -> Iterator[dict[str, Any]]:
    """The same batches as mmpose's own pipelines pack them: blue, green, red, and joints as heatmaps."""
    from mmengine.structures import InstanceData, PixelData
    from mmpose.structures import PoseDataSample

    order = head.mirror_order.numpy()
    for (batch,) in data.training(STEPS, seed=0):
        target: PersonCrops = batch.target
        size = tuple(batch.images.shape[2:])
        samples = []
        for joints, mirrored in zip(target.joints.numpy(), target.mirrored.tolist(), strict=True):
            named = joints[order] if mirrored else joints
            # mmpose takes heatmap pixel i for input pixel i * stride, not for the middle of its `stride` pixels.
            points = named[None, :, :2] + 0.5 - 0.5 * head.stride
            encoded = codec.encode(points, (named[None, :, 2] > 0).astype(np.float32))
            sample = PoseDataSample(metainfo={"img_shape": size})
            sample.gt_fields = PixelData(heatmaps=torch.from_numpy(encoded["heatmaps"]))
            sample.gt_instance_labels = InstanceData(keypoint_weights=torch.from_numpy(encoded["keypoint_weights"]))
            samples.append(sample)
        yield {"inputs": [image.flip(0) for image in batch.images], "data_samples": samples}


def mmpose_weights(network: Network) -> dict[str, torch.Tensor]:
    """Return the network's weights under mmpose's names."""
    weights = {f"backbone.{k.removeprefix('network.')}": v for k, v in network.body.state_dict().items()}
    for name, value in network.head.state_dict().items():
        kind, *rest = name.split(".")
        if kind == "deconvolutions":
            weights[f"head.deconv_layers.{3 * int(rest[0]) + int(rest[1])}.{rest[2]}"] = value
        else:
            weights[f"head.final_layer.{rest[0]}"] = value
    return weights


def mmpose_model(config: Config, network: Network, joints: int, depth: int, width: int) -> dict[str, Any]:
    """Return mmpose's model with a small backbone and head, and no downloads."""
    model: dict[str, Any] = config.model
    model["backbone"] |= {"depth": depth, "init_cfg": None}
    model["head"] |= {"in_channels": network.body.channels[-1], "out_channels": joints, "decoder": None}
    model["head"]["deconv_out_channels"] = [width] * 3
    model["train_cfg"] = {"compute_acc": False}
    return model


def mmpose_losses(
    config: Config, network: Network, data: ImageSplit, recipe: Recipe, depth_width: tuple[int, int], out: Path
) -> list[float]:
    """Return the losses of mmpose's Runner from the same weights, with the recipe's optimizer and learning rates."""
    config = Config(config.to_dict())
    config.optim_wrapper.optimizer = {"type": "Adam", "lr": recipe.lr}
    milestones = [round(m * STEPS) for m in recipe.milestones]
    config.param_scheduler = [
        {"type": "MultiStepLR", "milestones": milestones, "gamma": recipe.gamma, "by_epoch": False}
    ]
    joints = len(data.reader.data.vocabulary("pose").joints)
    batches = mmpose_batches(data, network.head, codec_of(config, recipe.input_size, network.head.stride))
    model = mmpose_model(config, network, joints, *depth_width)
    return runner_losses(model, mmpose_weights(network), batches, config, "mmpose", out)


def relative_difference(ours: list[float], theirs: list[float]) -> float:
    return max(abs(a / b - 1) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("spec", "depth", "width", "size"),
    [
        ("shapes", 18, 64, (128, 96)),
        ("shapes", 50, 256, (128, 96)),
        pytest.param("coco:{}/lspet", 18, 64, (128, 96), marks=pytest.mark.real),
    ],
)
def test_losses_equal_those_of_mmposes_runner(
    config: Config,
    spec: str,
    depth: int,
    width: int,
    size: tuple[int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "{}" in spec:
        spec = spec.format(real_data_folder("lspet"))
    recipe = short_recipe(size, head={"width": width})
    data = ImageSplit(ExampleReader(ExampleSource(spec, "pose", recipe, True)))
    network = double_network(f"resnet{depth}", recipe, data)
    theirs = mmpose_losses(config, network, data, recipe, (depth, width), tmp_path)
    ours = recipe_losses(network, data, recipe, monkeypatch)
    print(f"{spec} {depth}: largest relative difference {relative_difference(ours, theirs):.1e}")
    assert ours == pytest.approx(theirs, rel=1e-4)
    assert len(set(theirs)) == STEPS


@pytest.mark.parametrize(
    ("settings", "least", "most"),
    [({"mean_loss": False}, 1e-6, 0.1), ({"outside": False}, 1e-3, 0.5)],
)
def test_what_the_settings_change(
    config: Config,
    settings: dict[str, Any],
    least: float,
    most: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without `mean_loss` the loss has a constant factor, which Adam's eps alone does not cancel."""
    size = (128, 96)
    recipe = short_recipe(size, head={"width": 64} | settings)
    data = ImageSplit(ExampleReader(ExampleSource("shapes", "pose", recipe, True)))
    network = double_network("resnet18", recipe, data)
    theirs = mmpose_losses(config, network, data, recipe, (18, 64), tmp_path)
    head = network.head
    pixels = size[0] * size[1] / head.stride**2
    factor = 1.0 if head.mean_loss else math.pi * head.sigma**2 / pixels
    ours = [factor * loss for loss in recipe_losses(network, data, recipe, monkeypatch)]
    print(f"{settings}: largest relative difference {relative_difference(ours, theirs):.1e}")
    assert least < relative_difference(ours, theirs) < most


def test_initial_weights_of_the_head_are_distributed_as_mmposes(config: Config) -> None:
    from mmpose.registry import MODELS

    recipe = short_recipe((128, 96), head={"width": 64})
    data = ImageSplit(ExampleReader(ExampleSource("shapes", "pose", recipe, True)))
    network = double_network("resnet18", recipe, data)
    ours = {name: value for name, value in mmpose_weights(network).items() if name.startswith("head.")}
    model = mmpose_model(Config(config.to_dict()), network, 16, 18, 64)
    with DefaultScope.overwrite_default_scope("mmpose"):
        theirs = MODELS.build(model)
    theirs.init_weights()
    for name, value in theirs.head.named_parameters(prefix="head"):
        spread = float(value.detach().std())
        assert float(ours[name].std()) == pytest.approx(spread, rel=0.1, abs=1e-12), name
        assert float(ours[name].mean()) == pytest.approx(float(value.detach().mean()), abs=0.1 * spread), name
    assert len(list(theirs.head.parameters())) == 3 * 3 + 2
