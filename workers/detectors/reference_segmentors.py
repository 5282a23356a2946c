"""The segmentors of mmsegmentation's configurations as reference networks."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from workers.detectors import mmdet_loading
from workers.detectors.shipped_networks import Toolbox, build_shipped_network
from workers.errors import RecipeError


def build_reference_segmentor(config: str, device: str = "meta") -> nn.Module:
    """Build the segmentor of one of mmseg's configurations, such as configs/ann/ann_r50-d8_4xb2-40k_cityscapes-....py.

    It has no trained weights and no heads that are used in training only. It maps (N, 3, H, W) images to logits at the
    size of the images, as at inference on a whole image. Raises RecipeError for a configuration that does not exist or
    that needs a package that is not installed.
    """
    return TraceableSegmentor(build_shipped_network(_MMSEG, config, device))


class TraceableSegmentor(nn.Module):
    """A segmentor that takes images alone."""

    def __init__(self, segmentor: nn.Module) -> None:
        super().__init__()
        self.segmentor = segmentor

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, classes, H, W)."""
        size = tuple(images.shape[2:])
        metas = [{"ori_shape": size, "img_shape": size, "pad_shape": size, "padding_size": [0] * 4}] * len(images)
        logits: Tensor = self.segmentor.encode_decode(images, metas)  # type: ignore[operator]
        return logits


@functools.cache
def _load() -> Any:
    """Import mmsegmentation and return its registry of models. Raises RecipeError if it is not installed."""
    mmdet_loading.load()  # some heads are made of mmdet's
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from mmseg.registry import MODELS
            from mmseg.utils import register_all_modules

            register_all_modules(init_default_scope=False)
        except ImportError as error:
            raise RecipeError(
                f"mmseg: cannot be imported ({error}): pip install 'aiop-orchestrator[openmmlab]'"
            ) from error
    return MODELS


def _configs() -> Path:
    import mmseg

    return Path(mmseg.__file__).parent / ".mim" / "configs"


_MMSEG = Toolbox("mmseg", _load, _configs)
