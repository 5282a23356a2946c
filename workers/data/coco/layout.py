"""The files of `coco:DIR`: our own layout, the layout of COCO 2017 as downloaded, or files that the user names.

A split (`train` or `held-out`) is the subset `train` or `val` in names of files and folders.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from workers.data.files import open_folder
from workers.errors import DataError

LAYOUT = "annotations/{instances,person_keypoints,panoptic}_{train,val}.json and images/"
SUBSETS = {"train": "train", "held-out": "val"}  # subset of each split
ANNOTATION_KINDS = {  # kind of annotation file that each task reads
    "det": "instances",
    "iseg": "instances",
    "pose": "person_keypoints",
    "pano": "panoptic",
    "seg": "panoptic",
}
_REMEDY = "add it, or name another file with train=FILE.json and val=FILE.json"


def parse_location(location: str) -> tuple[Path, dict[str, Path]]:
    """Parse `DIR[,train=FILE.json][,val=FILE.json]` into the folder and the annotation files, all absolute.

    A relative file name is searched in DIR, then in the working directory.
    """
    directory, *options = re.split(r",(train|val)=", location)
    folder = open_folder("coco", directory, LAYOUT)
    files: dict[str, Path] = {}
    for subset, name in zip(options[::2], options[1::2], strict=True):
        if subset in files:
            raise DataError(f"data 'coco:{location}' names {subset} twice: keep one of them")
        files[subset] = _find_named_file(folder, subset, name)
    return folder, files


def _find_named_file(folder: Path, subset: str, name: str) -> Path:
    if not name:
        raise DataError(f"data 'coco:{folder}' names no file after {subset}=: write {subset}=FILE.json")
    given = Path(name).expanduser()
    candidates = [folder / given, given]
    for path in candidates:
        if os.path.isfile(path):
            return Path(os.path.abspath(path))  # links are not resolved: the PNGs are in the folder of the link
    raise DataError(
        f"{candidates[0]} is not a file, and neither is {given.resolve()}: "
        f"give the {subset} annotations as a COCO annotation file"
    )


def find_annotations(folder: Path, kind: str, subset: str) -> Path:
    """Find the annotation file of one kind and subset: KIND_SUBSET.json, or KIND_SUBSET2017.json as downloaded."""
    candidates = [folder / "annotations" / f"{kind}_{subset}{year}.json" for year in ("", "2017")]
    for path in candidates:
        if path.exists():
            return path
    raise DataError(f"{candidates[0]} does not exist: {_REMEDY}")


def find_panoptic_companions(path: Path) -> tuple[Path, Path | None]:
    """Return the folder of PNGs of a panoptic JSON file, and the instances file in the same folder, if there is one."""
    instances = path.with_name(path.name.replace("panoptic", "instances", 1))
    return path.with_suffix(""), instances if instances != path and instances.is_file() else None


def find_images(folder: Path, subset: str, names: Iterable[str], named_by_user: bool) -> Path:
    """Find the folder of a subset's images: the first candidate that has any of them.

    named_by_user: whether the user named the annotation file. Such files may divide the images of one folder in their
    own way, so the folders of the other subset are candidates too.
    """
    candidates = [*_subfolders(subset), "images", ""]
    if named_by_user:
        for other in SUBSETS.values():
            candidates += _subfolders(other) if other != subset else []
    names = list(names)
    for candidate in candidates:
        root = folder / candidate
        if root.is_dir() and any(os.path.isfile(root / name) for name in names):
            return root
    raise DataError(f"{folder} holds no image of {subset}, such as {names[0]}: put them in images/ or images/{subset}/")


def _subfolders(subset: str) -> list[str]:
    return [f"{parent}{subset}{year}" for parent in ("images/", "") for year in ("", "2017")]
