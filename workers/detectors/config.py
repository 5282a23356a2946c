"""Adapt any mmdet configuration to a backbone's channels, the classes of a data set and a smaller width."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workers.data.base import Vocabulary
from workers.detectors import mmdet_loading
from workers.errors import RecipeError

_WIDTH_FIELDS = {
    "in_channels",
    "out_channels",
    "feat_channels",
    "conv_out_channels",
    "inner_channels",
    "fc_out_channels",
}
_DEFAULT_WIDTH = 256  # channels of the neck in mmdet's configurations, which the widths of heads refer to
SETTINGS = ("config", "width", "options", "panoptic_score")


def detector_config(
    channels: Sequence[int], vocabulary: Vocabulary, settings: Mapping[str, Any], default: str
) -> dict[str, Any]:
    """Return the `model` section of an mmdet configuration for a pyramid with these channels.

    settings: `config` names a file below mmdet's configurations or any other Python file, which is run as code; the
    default is `default`. `width` is the number of channels of the neck, and all widths of heads are scaled with it.
    `options` sets single fields by dotted name, as mmdet's --cfg-options does.
    Raises RecipeError for an unknown or wrong setting.
    """
    if unknown := set(settings) - set(SETTINGS):
        raise RecipeError(f"head setting '{min(unknown)}' is unknown to mmdet heads: choose from {', '.join(SETTINGS)}")
    width = settings.get("width", _DEFAULT_WIDTH)
    if type(width) is not int or width < 16 or width % 16:
        raise RecipeError(f"head width {width}: must be a multiple of 16")
    name = settings.get("config", default)
    model = _read_model(name)
    if not isinstance(model.get("neck"), Mapping):
        raise RecipeError(f"head config {name}: has no single neck: choose one with an FPN")
    model["neck"]["in_channels"] = list(channels)
    _scale_widths(model, width / _DEFAULT_WIDTH)
    _set_classes(model, vocabulary)
    model["backbone"] = {"type": "PyramidInput"}
    model["data_preprocessor"] = None  # images are normalised already
    _apply_options(model, settings.get("options", {}))
    return model


def _read_model(name: Any) -> dict[str, Any]:
    """Read the `model` section of a configuration file."""
    mmdet_loading.load()
    from mmengine.config import Config

    shipped, own = mmdet_loading.shipped_configs() / str(name), Path(str(name)).expanduser()
    path = shipped if shipped.is_file() else own
    if shipped.is_file() and own.is_file() and own.read_bytes() != shipped.read_bytes():
        raise RecipeError(
            f"head config '{name}': is a file of mmdet, and another one here: write the absolute path of yours"
        )
    if not path.is_file():
        raise RecipeError(f"head config '{name}': no such file, here or below {mmdet_loading.shipped_configs()}")
    try:
        model: dict[str, Any] = Config.fromfile(str(path)).to_dict()["model"]
    except Exception as error:  # the file is code and may raise anything
        text = " ".join(str(error).split())[:200]
        raise RecipeError(f"head config {path}: {type(error).__name__}: {text}: fix the file") from None
    return model


def _walk_fields(node: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield every mapping in a nested configuration with each of its keys, outer mappings first."""
    if isinstance(node, dict):
        for key in node:
            yield node, key
        node = list(node.values())
    if isinstance(node, list | tuple):
        for value in node:
            yield from _walk_fields(value)


def _scale_widths(model: dict[str, Any], scale: float) -> None:
    """Scale every width to a multiple of 8, and reduce the groups of group norms so that they divide the widths."""
    for node, key in _walk_fields(model):
        if key in _WIDTH_FIELDS and type(node[key]) is int:
            node[key] = max(8, round(node[key] * scale / 8) * 8)
        elif key == "num_groups" and scale < 1:
            node[key] = max(1, math.gcd(node[key], round(_DEFAULT_WIDTH * scale / 8)))


def _set_classes(model: dict[str, Any], vocabulary: Vocabulary) -> None:
    counts = {
        "num_classes": vocabulary.things,
        "num_things_classes": vocabulary.things,
        "num_stuff_classes": len(vocabulary.classes) - vocabulary.things,
    }
    for node, key in _walk_fields(model):
        if key in counts:
            node[key] = counts[key]


def _apply_options(model: dict[str, Any], options: Any) -> None:
    """Set fields by dotted name. The path must exist, but the last part may be new: it may have a default in mmdet."""
    if not isinstance(options, Mapping):
        raise RecipeError(f"head options {options!r}: must be a mapping of dotted names such as test_cfg.rpn.nms_pre")
    for name, value in options.items():
        *path, field = str(name).split(".")
        node: Any = model
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise RecipeError(f"head option '{name}': the configuration has no '{'.'.join(path)}': check the name")
        node[field] = value
