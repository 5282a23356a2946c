"""Search spaces: one file a family. A new space is one file and one import here."""

from workers.spaces import (  # noqa: F401 - importing a family registers it
    mnasnet,
    mobilenetv3,
    nasbench201,
    proxylessnas,
    resnet50,
    transnas_macro,
    zoo,
)
from workers.spaces.base import Backbone, Space, get_space, space_names

__all__ = ["Backbone", "Space", "get_space", "space_names"]
