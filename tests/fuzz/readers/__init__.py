"""The readers of files and of users' texts, one module for each kind of input."""

from tests.fuzz.readers import (  # noqa: F401 - importing a module registers its readers
    data_sets,
    generations,
    images,
    local_files,
    networks,
    recipes,
    stores,
    tables,
    texts,
    weights,
)
from tests.fuzz.readers.reader import READERS

__all__ = ["READERS"]
