"""Published backbones by their timm name (Wightman, PyTorch Image Models, 2019), with or without pretrained weights.

Any timm model with features at strides 4, 8, 16 and 32 can be built. Sampled are only `MODELS`: hierarchical networks,
most of them convolutional, that take any input size in multiples of 32.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from predictor.errors import one_line
from workers.errors import GenotypeError, RecipeError
from workers.messages.architecture import Architecture
from workers.spaces.base import Backbone, Space, register
from workers.spaces.weights_file import pretrained_file, read_weights

_STRIDES = (4, 8, 16, 32)
# Networks with a batch norm on a pooled map (skresnet, resnest) are excluded, because a batch may have one image.
_NAMES = """
    convnext_atto convnext_femto convnext_nano convnext_pico convnextv2_atto convnextv2_femto convnextv2_pico
    cs3darknet_focus_s cs3darknet_m cs3darknet_s dla34 dla46_c ecaresnet26t ecaresnetlight edgenext_xx_small
    efficientnet_b0 efficientnet_lite0 ese_vovnet19b_dw ese_vovnet39b fasternet_t0 fasternet_t1 fbnetc_100
    gernet_m gernet_s ghostnet_100 hgnet_tiny hgnetv2_b0 hgnetv2_b1 inception_next_atto lcnet_050 lcnet_075
    lcnet_100 lcnet_150 mnasnet_050 mnasnet_075 mnasnet_100 mobilenetv1_100 mobilenetv1_125 mobilenetv2_050
    mobilenetv2_100 mobilenetv2_140 mobilenetv3_large_100 mobilenetv3_small_100 mobilenetv4_conv_small
    nf_resnet26 poolformer_s12 poolformerv2_s12 regnetx_002 regnetx_008 regnetx_016 regnety_002 regnety_008
    repghostnet_100 repvgg_a0 resnet10t resnet14t resnet18 resnet18d resnet26 resnet26d resnet26t resnet34
    resnet34d resnet50 resnet50d resnetaa34d resnetblur18 resnetv2_50 resnext26ts resnext50_32x4d selecsls42
    selecsls60 semnasnet_100 seresnet18 seresnet34 seresnext26d_32x4d starnet_s2 tinynet_c tinynet_d tinynet_e
    vgg11_bn vovnet39a wide_resnet50_2
"""
MODELS = tuple(sorted(_NAMES.split()))


class ZooBackbone(Backbone):
    """The levels of a timm network at strides 4, 8, 16 and 32, without finer ones."""

    def __init__(self, model: str, network: nn.Module) -> None:
        super().__init__()
        info: Any = network.feature_info
        reductions, channels = list(info.reduction()), list(info.channels())
        if not set(_STRIDES) <= set(reductions):
            raise GenotypeError(
                f"zoo model '{model}': gives strides {reductions}, not 4, 8, 16 and 32: choose a hierarchical one"
            )
        self.network = network
        # Of two levels with the same stride, the later one is used.
        self._levels = [max(i for i, r in enumerate(reductions) if r == stride) for stride in _STRIDES]
        self.channels, self.strides = tuple(channels[i] for i in self._levels), _STRIDES
        self._channels_last = getattr(network, "output_fmt", None) == "NHWC"

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute four feature maps, finest first."""
        maps = self.network(images)
        pyramid = [maps[i] for i in self._levels]
        # Swin and others compute with channels last.
        return [m.permute(0, 3, 1, 2) if self._channels_last else m for m in pyramid]


def _create(model: str, **settings: Any) -> nn.Module:
    if model.startswith("swin"):
        settings["strict_img_size"] = False  # windows are padded, so that any input size is allowed
    try:
        network: nn.Module = timm.create_model(model, features_only=True, **settings)
    except (RuntimeError, AttributeError, AssertionError, NotImplementedError) as error:
        raise GenotypeError(f"zoo model '{model}': timm cannot build its features ({one_line(error)})") from error
    return network


def load_weights(model: str, path: Path) -> dict[str, Tensor]:
    """Return the weights of `model`, without its classifier, from a .safetensors file with timm's names.

    For the ResNet family, these are also the names of torchvision, mmdet and mmpretrain.

    Raises RecipeError if the file cannot be read or does not fit the model.
    """
    weights = read_weights(path, "body pretrained")
    with torch.device("meta"):
        whole = timm.create_model(model)
    classifier = whole.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{name}." for name in ([classifier] if isinstance(classifier, str) else classifier))

    def unneeded(name: str) -> bool:
        # Files of before 2018 have no counters of batches, and training needs none.
        return name.startswith(heads) or name.endswith("num_batches_tracked")

    expected = {k: v.shape for k, v in whole.state_dict().items() if not unneeded(k)}
    needed = {k: v for k, v in weights.items() if not unneeded(k)}
    wrong = sorted(expected.keys() ^ needed.keys()) or [k for k in expected if expected[k] != needed[k].shape]
    if wrong:
        raise RecipeError(
            f"body pretrained '{path}': {len(wrong)} weights, first '{wrong[0]}', do not fit {model}: "
            "name weights of that timm model, under timm's names"
        )
    return needed


@register
class Zoo(Space):
    """The genotype is a timm name: {"model": "resnet18"}, or with a tag of weights, {"model": "resnet18.a1_in1k"}."""

    name = "zoo"
    default_backbone: Mapping[str, Any] = {"pretrained": "none"}

    def random_genotype(self, rng: random.Random) -> dict[str, Any]:
        """Return one of `MODELS`."""
        return {"model": rng.choice(MODELS)}

    def mutate_genotype(self, genotype: dict[str, Any], rng: random.Random) -> dict[str, Any]:
        """Return any other of `MODELS`, because names have no neighbours."""
        return {"model": rng.choice([m for m in MODELS if m != genotype["model"]])}

    def check(self, genotype: dict[str, Any]) -> None:
        """Raise GenotypeError unless timm knows the model, and the tag of weights if there is one."""
        model = genotype.get("model")
        # is_model checks the part before the first dot; what timm would read as an address contains a colon.
        if set(genotype) != {"model"} or not isinstance(model, str) or ":" in model or not timm.is_model(model):
            raise GenotypeError(f"zoo genotype {genotype}: 'model' must be a timm model, see timm.list_models()")
        tag = model.partition(".")[2]
        if tag and model not in timm.list_pretrained(model):
            raise GenotypeError(f"zoo genotype {genotype}: timm has no weights '{tag}', see timm.list_pretrained()")

    def encode(self, architecture: Architecture) -> Sequence[int]:
        """Return the index in `MODELS`."""
        model = self._checked_genotype(architecture)["model"]
        if model not in MODELS:
            raise GenotypeError(f"zoo model '{model}': is not among the sampled models: add it to zoo.MODELS")
        return [MODELS.index(model)]

    def decode(self, code: Sequence[int]) -> Architecture:
        """Inverse of `encode`."""
        if len(code) != 1 or not 0 <= code[0] < len(MODELS):
            raise GenotypeError(f"zoo code {list(code)}: must be one number from 0 to {len(MODELS) - 1}")
        return Architecture.of(self.name, {"model": MODELS[code[0]]})

    def build_backbone(self, genotype: dict[str, Any], settings: Mapping[str, Any]) -> Backbone:
        """Build a backbone. `pretrained`: none, hub (timm downloads weights) or a .safetensors file of the model."""
        model, path = genotype["model"], pretrained_file(settings)
        if path is not None:
            cfg = {"state_dict": load_weights(model, path), "source": "", "file": None, "custom_load": False}
            backbone = ZooBackbone(model, _create(model, pretrained=True, pretrained_cfg_overlay=cfg))
        elif settings["pretrained"] == "hub":
            backbone = ZooBackbone(model, _create_from_hub(model))
        else:
            return ZooBackbone(model, _create(model))
        backbone.keeps_weights = True
        backbone.pixel_mean, backbone.pixel_std = _pixels(model)
        return backbone


def _pixels(model: str) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return the mean and deviation of pixels, from 0 to 255, with which timm's weights of a model were trained."""
    cfg: Any = timm.get_pretrained_cfg(model) or timm.models.PretrainedCfg()
    (r, g, b), (x, y, z) = cfg.mean, cfg.std
    return (255 * r, 255 * g, 255 * b), (255 * x, 255 * y, 255 * z)


def _create_from_hub(model: str) -> nn.Module:
    if not timm.list_pretrained(model):
        raise RecipeError(f"body pretrained hub: timm publishes no weights for '{model}': choose none or a file")
    try:
        return _create(model, pretrained=True)
    except OSError as error:
        raise RecipeError(f"body pretrained hub: '{model}' cannot be downloaded ({one_line(error)})") from error
