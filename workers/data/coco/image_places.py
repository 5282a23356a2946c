"""Where the images of a COCO file are: in one folder that has all of them, first of all in that of the file."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from workers.data.coco.layout import SUBSETS, split_name
from workers.data.files import list_folders
from workers.data.subset_names import SUBSET_NAMES, subset_of
from workers.errors import DataError

_COMPARED = 1000  # images whose bytes are compared between two folders
_YEARS = ("", "2017", "2014")


def find_images(folder: Path, file: Path, subset: str, names: Sequence[str], named_by_user: bool) -> Path:
    """Return the folder that holds the images `names` of an annotation file.

    Looks next to the file, in folders named after its subset, in those of all images, and, if the user named the file,
    in any other folder. The first of these steps with an image decides. named_by_user: such files may divide the
    images of one folder in their own way. Raises DataError if no folder has an image, or if several have all and
    differ.
    """
    for places in _steps(folder, file, subset, named_by_user):
        counts = {root: _count(root, names) for root in _distinct(places)}
        complete = [root for root, count in counts.items() if count == len(names)]
        for other in complete[1:]:
            if not _equal(complete[0], other, names):
                raise DataError(
                    f"{complete[0]} and {other} both hold images with the names in {file}: put the file into the "
                    "folder of its images, or move the other folder away"
                )
        if any(counts.values()):
            return max(counts, key=lambda root: counts[root])  # the check names what is missing there
    raise DataError(f"{folder} holds no image of {subset}, such as {names[0]}: put them in images/ or images/{subset}/")


def _steps(folder: Path, file: Path, subset: str, named_by_user: bool) -> Iterable[list[Path]]:
    yield [file.parent, *(file.parent / name for name in ("data", "images"))]  # Roboflow; FiftyOne and Label Studio
    if own := _own_names(file):
        yield _subfolders(folder, own)
    yield _subfolders(folder, SUBSET_NAMES[subset])
    yield [folder / "images", folder / "data", folder]
    if named_by_user:
        others = [name for other in SUBSETS.values() if other != subset for name in SUBSET_NAMES[other]]
        yield [*_subfolders(folder, others), *_all_folders(folder / "images"), *_all_folders(folder)]


def _own_names(file: Path) -> tuple[str, ...]:
    """Return the names of the subset in the name of a file or its folder: test for instances_test.json."""
    kind, subset = split_name(file)
    subset = subset or subset_of(file.parent.name)
    if subset is not None:
        return SUBSET_NAMES[subset]
    own = file.stem.removeprefix(f"{kind}_") if kind else ""
    return (own,) if own else ()


def _subfolders(folder: Path, names: Iterable[str]) -> list[Path]:
    """Return the folders of these names in images/ and in the folder, with or without a year, in any case."""
    wanted = {f"{name}{year}".lower() for name in names for year in _YEARS}
    parents = [parent for parent in (folder / "images", folder) if parent.is_dir()]
    return [path for parent in parents for path in list_folders(parent) if path.name.lower() in wanted]


def _all_folders(parent: Path) -> list[Path]:
    return list_folders(parent) if parent.is_dir() else []


def _distinct(places: Iterable[Path]) -> list[Path]:
    """Return the places that are folders, without a second path to the same one."""
    found: dict[str, Path] = {}
    for place in places:
        if place.is_dir():
            found.setdefault(os.path.realpath(place), place)
    return list(found.values())


def _count(root: Path, names: Sequence[str]) -> int:
    """Return how many of the images a folder has. It is listed once, since network file systems are slow."""
    try:
        present = set(os.listdir(root))
    except OSError:
        return 0
    return sum(name in present if "/" not in name else os.path.isfile(root / name) for name in names)


def _equal(first: Path, second: Path, names: Sequence[str]) -> bool:
    """Return whether two folders have the same files; of many, the bytes of some are compared."""
    try:
        if any((first / name).stat().st_size != (second / name).stat().st_size for name in names):
            return False
        chosen = names[:: max(1, -(-len(names) // _COMPARED))]
        return all(filecmp.cmp(first / name, second / name, shallow=False) for name in chosen)
    except OSError:
        return False
