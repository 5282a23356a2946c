"""Any mmdet configuration, fitted to a body, a data set's classes and a budget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workers.data.base import Vocabulary
from workers.detectors import mmdet_loading
from workers.errors import RecipeError

_WIDTHS = {"in_channels", "out_channels", "feat_channels", "conv_out_channels", "inner_channels", "fc_out_channels"}
_PUBLISHED_WIDTH = 256  # of the neck, which mmdet's heads are sized by
SETTINGS = ("config", "width", "options", "panoptic_score")


def detector_config(
    channels: Sequence[int], vocabulary: Vocabulary, settings: Mapping[str, Any], default: str
) -> dict[str, Any]:
    """The `model` section of an mmdet configuration that takes a pyramid of these channels.

    settings: `config` names a file below mmdet's configurations or a Python file of one's own, which is run as
    code; `width` is the neck's channels, and all heads shrink with it; `options` sets single fields by dotted
    name, as mmdet's --cfg-options does.

    Raises RecipeError for a setting that is unknown or does not fit.
    """
    if unknown := set(settings) - set(SETTINGS):
        raise RecipeError(f"head setting '{min(unknown)}' is unknown to mmdet heads: choose from {', '.join(SETTINGS)}")
    width = settings.get("width", _PUBLISHED_WIDTH)
    if type(width) is not int or width < 16 or width % 16:
        raise RecipeError(f"head width {width}: must be a multiple of 16")
    model = _read(settings.get("config", default))
    if not isinstance(model.get("neck"), Mapping):
        raise RecipeError(f"head config {settings.get('config', default)}: has no single neck: choose one with an FPN")
    model["neck"]["in_channels"] = list(channels)
    _resize(model, width / _PUBLISHED_WIDTH)
    _set_classes(model, vocabulary)
    model["backbone"] = {"type": "PyramidInput"}
    model["data_preprocessor"] = None  # images come normalised
    _merge(model, settings.get("options", {}))
    return model


def _read(name: Any) -> dict[str, Any]:
    mmdet_loading.load()
    from mmengine.config import Config

    shipped = mmdet_loading.shipped_configs() / str(name)
    path = shipped if shipped.is_file() else Path(str(name)).expanduser()
    if not path.is_file():
        raise RecipeError(f"head config '{name}': no such file, here or below {mmdet_loading.shipped_configs()}")
    try:
        model: dict[str, Any] = Config.fromfile(str(path)).to_dict()["model"]
    except Exception as error:  # the file is code and may raise anything
        text = " ".join(str(error).split())[:200]
        raise RecipeError(f"head config {path}: {type(error).__name__}: {text}: mend the file") from None
    return model


def _fields(node: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Every mapping in a configuration with each of its keys, from the outside in."""
    if isinstance(node, dict):
        for key in node:
            yield node, key
        node = list(node.values())
    if isinstance(node, list | tuple):
        for value in node:
            yield from _fields(value)


def _resize(model: dict[str, Any], scale: float) -> None:
    """Scale every width to a multiple of eight, and let group norms have groups of at least four channels."""
    for node, key in _fields(model):
        if key in _WIDTHS and type(node[key]) is int:
            node[key] = max(8, round(node[key] * scale / 8) * 8)
        elif key == "num_groups" and scale < 1:
            node[key] = max(1, math.gcd(node[key], round(_PUBLISHED_WIDTH * scale / 8)))


def _set_classes(model: dict[str, Any], vocabulary: Vocabulary) -> None:
    counts = {
        "num_classes": vocabulary.things,
        "num_things_classes": vocabulary.things,
        "num_stuff_classes": len(vocabulary.classes) - vocabulary.things,
    }
    for node, key in _fields(model):
        if key in counts:
            node[key] = counts[key]


def _merge(model: dict[str, Any], options: Any) -> None:
    """Set dotted names; a name whose path is not there is a mistake, but a new last part may be a default's."""
    if not isinstance(options, Mapping):
        raise RecipeError(f"head options {options!r}: must be a mapping of dotted names such as test_cfg.rpn.nms_pre")
    for name, value in options.items():
        *path, last = str(name).split(".")
        node: Any = model
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise RecipeError(f"head option '{name}': the configuration has no '{'.'.join(path)}': check the name")
        node[last] = value
