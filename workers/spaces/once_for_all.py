"""Published Once-for-All weights (Cai et al., ICLR 2020): shared weights of a space, and slices of them in a backbone.

Files are safetensors with the tensors of the published `state_dict` under their published names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workers.errors import RecipeError
from workers.messages.architecture import Architecture
from workers.spaces.base import Backbone, Space
from workers.spaces.elastic_blocks import ElasticSpace
from workers.spaces.shared_weights import SharedWeights
from workers.spaces.weights_file import file_version, pretrained_file, read_weights, weights_fingerprint

# The published networks normalise each channel by another deviation. Scaling the first weights makes up for it. Means
# differ too, but batch norms are recalibrated.
_CHANNEL_SCALES = [60 / (255 * deviation) for deviation in (0.229, 0.224, 0.225)]
_PIXEL_MEAN = (123.675, 116.28, 103.53)
_FIRST_WEIGHT = "body/stem/0/conv/weight"  # a stored name

_PrefixRules = tuple[tuple[str, str], ...]  # prefixes of layer names: ours, published
_INVERTED_STEM: _PrefixRules = (
    ("stem.0.conv", "first_conv.conv"),
    ("stem.0.bn1", "first_conv.bn"),
    ("stem.1.conv_dw", "blocks.0.conv.depth_conv.conv"),
    ("stem.1.bn1", "blocks.0.conv.depth_conv.bn"),
    ("stem.1.conv_pw", "blocks.0.conv.point_linear.conv"),
    ("stem.1.bn2", "blocks.0.conv.point_linear.bn"),
)
_INVERTED_BLOCK: _PrefixRules = (
    ("conv_pwl", "conv.point_linear.conv"),
    ("bn3", "conv.point_linear.bn"),
    ("conv_pw", "conv.inverted_bottleneck.conv"),
    ("bn1", "conv.inverted_bottleneck.bn"),
    ("conv_dw", "conv.depth_conv.conv"),
    ("bn2", "conv.depth_conv.bn"),
    ("se.fc1", "conv.depth_conv.se.fc.reduce"),
    ("se.fc2", "conv.depth_conv.se.fc.expand"),
)
_BOTTLENECK: _PrefixRules = (
    *((f"conv{i}", f"conv{i}.conv") for i in (1, 2, 3)),
    *((f"bn{i}", f"conv{i}.bn") for i in (1, 2, 3)),
    ("downsample.1", "downsample.conv"),
    ("downsample.2", "downsample.bn"),
)
_PREFIX_RULES: Mapping[str, tuple[_PrefixRules, _PrefixRules, int]] = {  # stem, block, number of the first block
    "mobilenetv3": (_INVERTED_STEM, _INVERTED_BLOCK, 1),
    "proxylessnas": (_INVERTED_STEM, _INVERTED_BLOCK, 1),
    "resnet50": ((("stem.", "input_stem."),), _BOTTLENECK, 0),
}


class OnceForAllSpace(ElasticSpace):
    """A space with published weights. The setting `pretrained` names their file: each backbone gets its slice."""

    def build(self, architecture: Architecture, settings: Mapping[str, Any] | None = None) -> Backbone:
        """Build the backbone of an architecture. See `Space.build`."""
        backbone = super().build(architecture, settings)
        path = pretrained_file(settings or {})
        if path is not None:
            shared = published_weights(path, self, settings or {}, "body pretrained")
            shared.copy_into(architecture, _Headless(backbone))
            backbone.keeps_weights = backbone.stale_statistics = True
            backbone.pixel_mean, backbone.pixel_std = _PIXEL_MEAN, (60.0, 60.0, 60.0)  # with the scaled weights
        elif (settings or {}).get("pretrained") == "hub":
            raise RecipeError(f"body pretrained hub: {self.name} has no hub: use none or a .safetensors file")
        return backbone


class _Headless(nn.Module):
    """A network without a head, whose weights have the names of shared weights."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body


def published_fingerprint(path: Path, space: Space, body: Mapping[str, Any]) -> str:
    """Return a hash of the file after checking that it holds the weights of the space's backbones.

    body: the recipe's `body`, the settings of the backbones.

    Raises RecipeError as `load_published` does, and if there are no published weights for such backbones.
    """
    if space.name not in _PREFIX_RULES:
        raise RecipeError(f"supernet.pretrained: no published weights of {space.name}: use {', '.join(_PREFIX_RULES)}")
    published_weights(path, space, body, "supernet.pretrained")
    return weights_fingerprint(path, "supernet.pretrained")


def published_weights(path: Path, space: Space, body: Mapping[str, Any], field: str) -> SharedWeights:
    """Return the published weights of `space` as shared weights of backbones alone. The caller must not change them.

    body: the recipe's `body`. field: of the recipe, for messages. The last file is kept in memory for the next call.

    Raises RecipeError as `load_published` does, and if the width is not set.
    """
    if "width" in space.default_backbone and body.get("width") is None:
        raise RecipeError(f"{field}: published weights have one width: add it, as in --set body.width=1.0")
    try:
        version = file_version(path)
    except OSError:
        version = ()  # reading it gives the message
    return _kept_weights(path, version, space, body.get("width"), field)


@lru_cache(maxsize=1)
def _kept_weights(path: Path, version: tuple[int, ...], space: Space, width: float | None, field: str) -> SharedWeights:
    settings = {} if width is None else {"width": width}
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):  # the random weights are replaced
        networks = [(a, _Headless(space.build(a, settings))) for a in space.covering_architectures()]
        shared = SharedWeights(space, networks)
        load_published(path, space, shared, field)
    return shared.requires_grad_(False)


@torch.no_grad()
def load_published(path: Path, space: Space, shared: SharedWeights, field: str = "supernet.pretrained") -> None:
    """Load published weights and kernel transformations into `shared`, the shared weights of backbones alone.

    field: of the recipe, for messages.

    Raises RecipeError for a file that cannot be read, or that is for another space or width.
    """
    tensors = {_unwrapped(name): value for name, value in read_weights(path, field).items()}
    published_name = _published_names(space)
    for key, weight in [*shared.weights.items(), *shared.constants.named_buffers()]:
        own = key.replace("/", ".")
        if own.endswith("num_batches_tracked"):  # batch norms are recalibrated
            continue
        name = _unwrapped(published_name(own.removeprefix("body.")))
        if name not in tensors:
            raise RecipeError(f"{field} {path}: has no '{name}': name published weights of {space.name}")
        if tensors[name].shape != weight.shape:
            raise RecipeError(
                f"{field} {path}: '{name}' is {tuple(tensors[name].shape)}, not {tuple(weight.shape)}: "
                f"name weights of {space.name}, and their width as body.width"
            )
        weight.copy_(tensors[name])
        for size in (5, 3):
            matrix = name.removesuffix("weight") + f"{size + 2}to{size}_matrix"
            if matrix in tensors:
                shared.add_transform(own, size, tensors[matrix])
    shared.weights[_FIRST_WEIGHT].mul_(torch.tensor(_CHANNEL_SCALES)[:, None, None])


def _published_names(space: Space) -> Callable[[str], str]:
    """Return a function from the names of the space's weights to the names in the published file."""
    stem, block, first = _PREFIX_RULES[space.name]
    assert isinstance(space, ElasticSpace)
    slots = space.max_block_counts()

    def published_name(name: str) -> str:
        match = re.fullmatch(r"stages\.(\d+)\.(\d+)\.(.+)", name)
        if match is None:
            return _replace_prefix(name, stem)
        number = first + sum(slots[: int(match[1])]) + int(match[2])
        return f"blocks.{number}.{_replace_prefix(match[3], block)}"

    return published_name


def _replace_prefix(name: str, rules: _PrefixRules) -> str:
    for ours, theirs in rules:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise AssertionError(f"no rule for {name}")


def _unwrapped(name: str) -> str:
    """Return the name without repeated parts: published files differ in how often they wrap a layer."""
    name = name.replace(".mobile_inverted_conv.", ".conv.")
    return re.sub(r"\b(conv|bn|linear)(\.\1)+\b", r"\1", name)
