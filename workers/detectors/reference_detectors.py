"""The detectors of mmdet's configurations as reference networks, without the parts that a graph cannot represent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from workers.detectors import mmdet_loading
from workers.detectors.shipped_networks import Toolbox, build_shipped_network

_MMDET = Toolbox("mmdet", mmdet_loading.load, mmdet_loading.shipped_configs)
_DENSE_HEADS = ("rpn_head", "bbox_head", "semantic_head", "mask_head")
_REGION_HEADS = ("bbox", "mask")


def build_reference_detector(config: str, device: str = "meta") -> nn.Module:
    """Build the detector of one of mmdet's configurations, such as configs/atss/atss_r50_fpn_1x_coco.py.

    It has no trained weights. It takes (N, 3, H, W) images and returns the outputs of its dense heads and of its region
    heads. The latter get fixed regions: the choice of regions depends on the values of tensors, which a graph has not.
    Raises RecipeError for a configuration that does not exist or that needs a package that is not installed.
    """
    return TraceableDetector(build_shipped_network(_MMDET, config, device))


class TraceableDetector(nn.Module):
    """The backbone, neck and heads of a detector, without the choice of regions between them.

    Images are padded as the detector's preprocessor does, since some backbones require it.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector
        self._multiple = int(getattr(detector.data_preprocessor, "pad_size_divisor", 1))

    def forward(self, images: Tensor) -> list[Any]:
        """Return the raw outputs of all heads."""
        bottom, right = (-side % self._multiple for side in images.shape[2:])
        if bottom or right:
            images = F.pad(images, (0, right, 0, bottom))
        return self.outputs(images)

    def outputs(self, inputs: Tensor | list[Tensor]) -> list[Any]:
        """Return the outputs of all heads. inputs: images, or the pyramid for a detector that takes one instead."""
        pyramid = self.detector.extract_feat(inputs)  # type: ignore[operator]
        heads = [getattr(self.detector, name) for name in _DENSE_HEADS if hasattr(self.detector, name)]
        outputs = [head(pyramid) for head in heads if head is not None]
        regions = getattr(self.detector, "roi_head", None)
        return outputs + ([] if regions is None else list(_region_outputs(regions, pyramid)))


def _region_outputs(heads: Any, pyramid: list[Tensor]) -> Iterator[Any]:
    """Yield the outputs of the region heads for one region, the whole image."""
    shared = getattr(heads, "shared_head", None)
    for name in _REGION_HEADS:
        stages = getattr(heads, f"{name}_head", None)
        extractor = getattr(heads, f"{name}_roi_extractor", None) or getattr(heads, "bbox_roi_extractor", None)
        if stages is None or extractor is None:
            continue
        extractors: list[Any] = list(extractor) if isinstance(extractor, nn.ModuleList) else [extractor]
        for number, head in enumerate(stages if isinstance(stages, nn.ModuleList) else [stages]):
            size = extractors[min(number, len(extractors) - 1)].roi_layers[0].output_size
            region = F.adaptive_avg_pool2d(pyramid[0], size)
            yield head(region if shared is None else shared(region))
