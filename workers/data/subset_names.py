"""The names that people give to the subsets of a data set: train, Training, valid, validation, test ..."""

from __future__ import annotations

from pathlib import Path

from workers.data.files import list_folders
from workers.errors import DataError

SUBSET_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test",),
}


def subset_of(name: str) -> str | None:
    """Return train, val or test for a name of it, in upper or lower case; None for any other name."""
    return next((subset for subset, names in SUBSET_NAMES.items() if name.lower() in names), None)


def find_subset_folder(parent: Path, subset: str) -> Path | None:
    """Return the folder of a subset in `parent`, None if there is none. Raises DataError if there are several."""
    if not parent.is_dir():
        return None
    found = [folder for folder in list_folders(parent) if subset_of(folder.name) == subset]
    if len(found) > 1:
        names = " and ".join(folder.name for folder in found)
        raise DataError(f"{parent} holds {names}, which both mean {subset}: keep one of them, move the other away")
    return found[0] if found else None
