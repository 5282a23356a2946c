"""The pose networks of mmpose's top-down configurations as reference networks."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from workers.detectors import coco_api, mmdet_loading
from workers.detectors.shipped_networks import Toolbox, build_shipped_network
from workers.errors import RecipeError


def build_reference_pose_network(config: str, device: str = "meta") -> nn.Module:
    """Build the network of one of mmpose's configurations, such as configs/body_2d_keypoint/topdown_heatmap/....py.

    It has no trained weights. It maps (N, 3, H, W) images of one person to the raw outputs of its head, such as
    heatmaps. Raises RecipeError for a configuration that does not exist or that needs a package that is not installed.
    """
    return TraceablePoseNetwork(build_shipped_network(_MMPOSE, config, device))


class TraceablePoseNetwork(nn.Module):
    """A pose network without the decoding of its heatmaps, which depends on their values."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Any:
        """Return the outputs of the head; of a network of several stages those of the last, as at inference."""
        outputs = self.network(images, None, mode="tensor")
        return outputs[-1] if isinstance(outputs, list) else outputs


@functools.cache
def _load() -> Any:
    """Import mmpose and return its registry of models. Raises RecipeError if it is not installed."""
    mmdet_loading.load()
    coco_api.install()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import mmpose.models  # noqa: F401 - registers them
            from mmpose.registry import MODELS
        except ImportError as error:
            raise RecipeError(
                f"mmpose: cannot be imported ({error}): pip install 'aiop-orchestrator[openmmlab]', then "
                "pip install --no-deps mmpose==1.3.2"
            ) from error
    return MODELS


def _configs() -> Path:
    import mmpose

    return Path(mmpose.__file__).parent / ".mim" / "configs"


_MMPOSE = Toolbox("mmpose", _load, _configs)
