"""Search spaces, one module per family.

To add a space, subclass `base.Space` (or `elastic_blocks.ElasticSpace`) in a module of its own, decorate the class with
`@register`, and import the module here. Another package adds a space by an entry point of the group
`aiop_orchestrator.spaces` that names the module. A YAML file declares a space without either (`declaration`).
"""

from workers.spaces import (  # noqa: F401 - importing a module registers its space
    mnasnet,
    mobilenetv3,
    nasbench201,
    proxylessnas,
    resnet50,
    transnas_macro,
    zoo,
)
from workers.spaces.base import Backbone, Space, get_space, space_names
from workers.spaces.opening import open_space

__all__ = ["Backbone", "Space", "get_space", "open_space", "space_names"]
