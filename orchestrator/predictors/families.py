"""The family of a published network: the method that its toolbox's configuration is named after."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

_BACKBONE = re.compile(r"(?:\d+x)?([A-Za-z]+(?:\d+[A-Za-z]+)*)")  # without depth and width: 3xrsn50, resnetv1d101


def family_of(space: str, genotype: str) -> str:
    """Return the family of a network; empty if networks of its space have none. genotype: JSON."""
    if space not in _FAMILIES:
        return ""
    config: str = json.loads(genotype)["config"]
    return _FAMILIES[space](config)


def _first_part(config: str) -> str:
    """The first part of the file's name, such as faster-rcnn: the folder may be named after an extension of it."""
    return config.rsplit("/", 1)[-1].split("_")[0]


def _folder(config: str) -> str:
    """The folder, such as pspnet: names of files begin with variants."""
    return config.rsplit("/", 2)[-2] if "/" in config else _first_part(config)


def _backbone(config: str) -> str:
    """The backbone of top-down heatmap networks, whose head is the same, such as resnest; of others the first part."""
    first, _, rest = config.rsplit("/", 1)[-1].partition("_")
    match = _BACKBONE.match(rest if first == "td-hm" else first)
    return match[1] if match else first


_FAMILIES: Mapping[str, Callable[[str], str]] = {"mmdet": _first_part, "mmseg": _folder, "mmpose": _backbone}
