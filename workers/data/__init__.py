"""Data sets: one file a format. A new format is one file and one import here."""

from workers.data import coco, imagefolder, masks, shapes  # noqa: F401 - importing a format registers it
from workers.data.base import VOID, DataSet, Instance, Sample, Vocabulary, open_data

__all__ = ["VOID", "DataSet", "Instance", "Sample", "Vocabulary", "open_data"]
