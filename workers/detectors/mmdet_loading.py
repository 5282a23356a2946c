"""Loads mmdet once a process, with what it lacks provided, and our bodies registered."""

from __future__ import annotations

import functools
import logging
import warnings
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from workers.detectors import mmcv_ops, panoptic_api


@functools.cache
def load() -> Any:
    """mmdet's registry of models. Importing mmdet takes seconds, so nothing else does it."""
    mmcv_ops.serve()
    panoptic_api.serve()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mmdet.registry import MODELS
        from mmdet.utils import register_all_modules
        from mmengine.logging import MMLogger

        register_all_modules(init_default_scope=True)
    # Each initialised layer is a line at INFO otherwise.
    MMLogger.get_instance("mmengine", logger_name="mmengine").setLevel(logging.ERROR)
    _register_bodies(MODELS)
    return MODELS


def shipped_configs() -> Path:
    """The folder of the configurations that come with mmdet."""
    import mmdet

    return Path(mmdet.__file__).parent / ".mim" / "configs"


def _register_bodies(models: Any) -> None:
    from mmengine.model import BaseModule

    @models.register_module()
    class PyramidInput(BaseModule):  # type: ignore[misc]
        """A backbone that is given the feature pyramid instead of images: body and head stay separate modules."""

        def forward(self, pyramid: list[Tensor]) -> tuple[Tensor, ...]:
            """The same maps, as the tuple that necks expect."""
            return tuple(pyramid)

    @models.register_module()
    class SpaceBody(BaseModule):  # type: ignore[misc]
        """A body of one of our spaces, for anyone's mmdet configuration: backbone=dict(type='SpaceBody', space=...)."""

        def __init__(self, space: str, genotype: dict[str, Any], body: dict[str, Any] | None = None) -> None:
            super().__init__()
            from workers.messages.architecture import Architecture
            from workers.spaces import get_space

            self.body: nn.Module = get_space(space).build(Architecture.of(space, dict(genotype)), body)

        def init_weights(self) -> None:
            """Leaves the body's weights as they are."""

        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            """Feature maps, finest first."""
            return tuple(self.body(images))
