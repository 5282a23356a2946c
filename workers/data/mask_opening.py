"""Open `masks:DIR[,ignore=ID][,foreground=ID]` in the layout that DIR has."""

from __future__ import annotations

import re

from predictor.plain_numbers import plain_int
from workers.data.base import VOID, DataSet, register_format
from workers.data.files import open_folder
from workers.data.masks import LAYOUT, MaskFolder
from workers.data.voc import VocFolder, is_voc
from workers.errors import DataError


@register_format("masks")
def open_masks(location: str, task: str) -> DataSet:
    """Return the data set. Raises DataError for a wrong option and for a folder of another layout."""
    folder, *options = re.split(r",(ignore|foreground)=", location)
    values: dict[str, int] = {}
    for name, value in zip(options[::2], options[1::2], strict=True):
        if name in values:
            raise DataError(f"data 'masks:{location}' names {name} twice: keep one of them")
        try:
            values[name] = plain_int(value, least=0, most=VOID)
        except ValueError:
            raise DataError(
                f"data 'masks:{location}': {name}={value} is not a class id: give a number from 0 to {VOID}"
            ) from None
    if len(set(values.values())) < len(values):
        raise DataError(f"data 'masks:{location}': ignore and foreground are the same value: leave out one of them")
    root = open_folder("masks", folder, LAYOUT)
    return (VocFolder if is_voc(root) else MaskFolder)(root, **values)
