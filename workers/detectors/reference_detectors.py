"""mmdet's own detectors by configuration, reduced to what a graph can hold."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from workers.detectors import mmdet_loading
from workers.errors import RecipeError

_DENSE = ("rpn_head", "bbox_head", "semantic_head", "mask_head")
_REGIONS = ("bbox", "mask")


def published_detector(config: str) -> nn.Module:
    """The detector of a shipped configuration, such as configs/atss/atss_r50_fpn_1x_coco.py, without weights.

    It takes (N, 3, H, W) images, and gives what its dense heads and, on regions of fixed place, its heads of regions
    give: choosing regions depends on values, which a graph has none of.

    Raises RecipeError for a configuration that does not exist, or that needs what is not installed.
    """
    models = mmdet_loading.load()
    from mmengine.config import Config

    path = mmdet_loading.shipped_configs() / unquote(config).removeprefix("configs/")
    if not path.is_file():
        raise RecipeError(f"mmdet configuration '{config}': no such file below {mmdet_loading.shipped_configs()}")
    try:
        settings = Config.fromfile(str(path)).model
        _without_weights(settings)
        detector = _built(models, settings)
    except Exception as error:  # configurations are code
        text = " ".join(str(error).split())[:200]
        raise RecipeError(f"mmdet configuration '{config}': {type(error).__name__}: {text}: choose another") from error
    return DensePart(detector)


def _built(models: Any, settings: Any) -> nn.Module:
    """On the meta device where the detector's constructor allows it."""
    detector: nn.Module
    try:
        with torch.device("meta"):
            detector = models.build(copy.deepcopy(settings))
    except RuntimeError as error:
        if "meta tensors" not in str(error):
            raise
        detector = models.build(settings)  # computes numbers with tensors
    return detector


class DensePart(nn.Module):
    """Backbone, neck and heads of a detector, without the choice of regions between them.

    Images are padded as the detector's preprocessor pads them: some bodies take no others.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector
        self._multiple = int(getattr(detector.data_preprocessor, "pad_size_divisor", 1))

    def forward(self, images: Tensor) -> list[Any]:
        """Raw outputs of every head."""
        bottom, right = (-side % self._multiple for side in images.shape[2:])
        if bottom or right:
            images = F.pad(images, (0, right, 0, bottom))
        pyramid = self.detector.extract_feat(images)  # type: ignore[operator]
        heads = [getattr(self.detector, name) for name in _DENSE if hasattr(self.detector, name)]
        outputs = [head(pyramid) for head in heads if head is not None]
        regions = getattr(self.detector, "roi_head", None)
        return outputs + ([] if regions is None else list(_of_regions(regions, pyramid)))


def _of_regions(heads: Any, pyramid: list[Tensor]) -> Iterator[Any]:
    """What the heads of regions make of the whole image as a region."""
    shared = getattr(heads, "shared_head", None)
    for name in _REGIONS:
        found = getattr(heads, f"{name}_head", None)
        extractor = getattr(heads, f"{name}_roi_extractor", None) or getattr(heads, "bbox_roi_extractor", None)
        if found is None or extractor is None:
            continue
        extractors: list[Any] = list(extractor) if isinstance(extractor, nn.ModuleList) else [extractor]
        for number, head in enumerate(found if isinstance(found, nn.ModuleList) else [found]):
            size = extractors[min(number, len(extractors) - 1)].roi_layers[0].output_size
            region = F.adaptive_avg_pool2d(pyramid[0], size)
            yield head(region if shared is None else shared(region))


def _without_weights(settings: Any) -> None:
    """Take out what would load or draw weights."""
    if isinstance(settings, Mapping):
        for key in ("init_cfg", "pretrained", "checkpoint"):
            settings.pop(key, None)  # type: ignore[attr-defined]
        settings = list(settings.values())
    if isinstance(settings, list | tuple):
        for value in settings:
            _without_weights(value)
