"""Data sets in several formats, one module each.

To add a format, write a module with a subclass of `base.DataSet` and a function (location, task) -> DataSet decorated
with `@register_format(NAME)`, and import the module here. `--data NAME:LOCATION` then opens it. All annotations that a
data set has for a task are returned as `Sample`, the classes and joints as `Vocabulary`.
"""

from workers.data import coco, imagefolder, mask_opening, shapes  # noqa: F401 - importing a format registers it
from workers.data.base import VOID, DataSet, DataWarning, Instance, Sample, Vocabulary, open_data

__all__ = ["VOID", "DataSet", "DataWarning", "Instance", "Sample", "Vocabulary", "open_data"]
