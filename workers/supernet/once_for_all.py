"""The published Once-for-All weights (Cai et al., ICLR 2020) as weights shared by a space.

Files are safetensors with the tensors of the published `state_dict`, whose names are kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from workers.errors import RecipeError
from workers.spaces import Space
from workers.spaces.elastic_blocks import ElasticSpace
from workers.supernet.backbones import bare_network
from workers.supernet.weights import SharedWeights

# What the published networks divide normalised images by, as a share of what ours do. Means differ too, but batch norms
# are measured anew.
_SCALE = [60 / (255 * deviation) for deviation in (0.229, 0.224, 0.225)]
_FIRST = "body/stem/0/conv/weight"

_Rules = tuple[tuple[str, str], ...]  # prefixes of a layer's name here and there
_INVERTED_STEM: _Rules = (
    ("stem.0.conv", "first_conv.conv"),
    ("stem.0.bn1", "first_conv.bn"),
    ("stem.1.conv_dw", "blocks.0.conv.depth_conv.conv"),
    ("stem.1.bn1", "blocks.0.conv.depth_conv.bn"),
    ("stem.1.conv_pw", "blocks.0.conv.point_linear.conv"),
    ("stem.1.bn2", "blocks.0.conv.point_linear.bn"),
)
_INVERTED_BLOCK: _Rules = (
    ("conv_pwl", "conv.point_linear.conv"),
    ("bn3", "conv.point_linear.bn"),
    ("conv_pw", "conv.inverted_bottleneck.conv"),
    ("bn1", "conv.inverted_bottleneck.bn"),
    ("conv_dw", "conv.depth_conv.conv"),
    ("bn2", "conv.depth_conv.bn"),
    ("se.fc1", "conv.depth_conv.se.fc.reduce"),
    ("se.fc2", "conv.depth_conv.se.fc.expand"),
)
_BOTTLENECK: _Rules = (
    *((f"conv{i}", f"conv{i}.conv") for i in (1, 2, 3)),
    *((f"bn{i}", f"conv{i}.bn") for i in (1, 2, 3)),
    ("downsample.1", "downsample.conv"),
    ("downsample.2", "downsample.bn"),
)
_NAMES: Mapping[str, tuple[_Rules, _Rules, int]] = {  # stem, block, number of the first block
    "mobilenetv3": (_INVERTED_STEM, _INVERTED_BLOCK, 1),
    "proxylessnas": (_INVERTED_STEM, _INVERTED_BLOCK, 1),
    "resnet50": ((("stem.", "input_stem."),), _BOTTLENECK, 0),
}


def published_fingerprint(path: Path, space: Space, body: Mapping[str, Any]) -> str:
    """A hash of the file, once it is known to hold the weights of the space's bodies with these settings.

    Raises RecipeError as `load_published` does, and where nobody published weights for such bodies.
    """
    if space.name not in _NAMES:
        raise RecipeError(f"supernet.pretrained: no published weights of {space.name}: use {', '.join(_NAMES)}")
    if "width" in space.default_backbone and body.get("width") is None:
        raise RecipeError("supernet.pretrained: published weights have one width: add --set body.width=1.0, or theirs")
    bodies = [(architecture, bare_network(architecture, body)) for architecture in space.covering()]
    load_published(path, space, SharedWeights(space, bodies))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@torch.no_grad()
def load_published(path: Path, space: Space, shared: SharedWeights) -> None:
    """Give `shared`, made of bodies alone, the published weights and transformations of kernels.

    Raises RecipeError for a file that cannot be read, or is not of this space and width.
    """
    try:
        tensors = {_plain(name): value for name, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise RecipeError(f"supernet.pretrained {path}: cannot be read ({error}): name a safetensors file") from None
    published = _names_of(space)
    for key, weight in [*shared.weights.items(), *shared.constants.named_buffers()]:
        own = key.replace("/", ".")
        if own.endswith("num_batches_tracked"):  # batch norms are measured anew
            continue
        name = _plain(published(own.removeprefix("body.")))
        if name not in tensors:
            raise RecipeError(f"supernet.pretrained {path}: has no '{name}': name published weights of {space.name}")
        if tensors[name].shape != weight.shape:
            raise RecipeError(
                f"supernet.pretrained {path}: '{name}' is {tuple(tensors[name].shape)}, not {tuple(weight.shape)}: "
                f"name weights of {space.name}, and their width as body.width"
            )
        weight.copy_(tensors[name])
        for size in (5, 3):
            matrix = name.removesuffix("weight") + f"{size + 2}to{size}_matrix"
            if matrix in tensors:
                shared.add_transform(own, size, tensors[matrix])
    shared.weights[_FIRST].mul_(torch.tensor(_SCALE)[:, None, None])


def _names_of(space: Space) -> Callable[[str], str]:
    """What a weight of the space's bodies is called in the published file."""
    stem, block, first = _NAMES[space.name]
    assert isinstance(space, ElasticSpace)
    slots = space.slots()

    def published(name: str) -> str:
        where = re.fullmatch(r"stages\.(\d+)\.(\d+)\.(.+)", name)
        if where is None:
            return _replaced(name, stem)
        number = first + sum(slots[: int(where[1])]) + int(where[2])
        return f"blocks.{number}.{_replaced(where[3], block)}"

    return published


def _replaced(name: str, rules: _Rules) -> str:
    for ours, theirs in rules:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise AssertionError(f"no rule for {name}")


def _plain(name: str) -> str:
    """Published files differ in how often they wrap a layer."""
    name = name.replace(".mobile_inverted_conv.", ".conv.")
    return re.sub(r"\b(conv|bn|linear)(\.\1)+\b", r"\1", name)
