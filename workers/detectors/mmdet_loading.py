"""Load mmdet once per process, with replacements for the compiled code it needs, and register our backbones."""

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
    """Import mmdet and return its registry of models. This takes seconds, so no other function imports mmdet."""
    mmcv_ops.install()
    panoptic_api.install()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mmdet.registry import MODELS
        from mmdet.utils import register_all_modules
        from mmengine.logging import MMLogger

        register_all_modules(init_default_scope=True)
    # At INFO it logs a line for each initialised layer.
    MMLogger.get_instance("mmengine", logger_name="mmengine").setLevel(logging.ERROR)
    _register_backbones(MODELS)
    return MODELS


def shipped_configs() -> Path:
    """Return the folder of the configurations that are part of mmdet."""
    import mmdet

    return Path(mmdet.__file__).parent / ".mim" / "configs"


def _register_backbones(models: Any) -> None:
    from mmengine.model import BaseModule

    @models.register_module()
    class PyramidInput(BaseModule):  # type: ignore[misc]
        """A backbone that takes and returns the feature pyramid of a separate backbone module."""

        def forward(self, pyramid: list[Tensor]) -> tuple[Tensor, ...]:
            """Return the same maps as a tuple, as necks expect."""
            return tuple(pyramid)

    @models.register_module()
    class SpaceBody(BaseModule):  # type: ignore[misc]
        """A backbone from one of our spaces, for any mmdet configuration: backbone=dict(type='SpaceBody', space=...).

        The class name is part of users' configurations.
        """

        def __init__(self, space: str, genotype: dict[str, Any], body: dict[str, Any] | None = None) -> None:
            super().__init__()
            from workers.spaces import get_space

            found = get_space(space)
            self.body: nn.Module = found.build(found.architecture(dict(genotype)), body)

        def init_weights(self) -> None:
            """Keep the weights that the space initialised."""

        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            """Return the feature maps, finest first."""
            return tuple(self.body(images))
