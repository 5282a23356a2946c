"""Search spaces: one file a family. A new space is one file and one import here."""

from workers.spaces import mobilenetv3, nasbench201  # noqa: F401 - importing a family registers it
from workers.spaces.base import Body, Space, get_space, space_names

__all__ = ["Body", "Space", "get_space", "space_names"]
