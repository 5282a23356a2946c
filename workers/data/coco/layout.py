"""Where the files of `coco:DIR` lie: in the project's own layout, as COCO 2017 is downloaded, or as told."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from workers.data.files import open_folder
from workers.errors import DataError

LAYOUT = "annotations/{instances,person_keypoints,panoptic}_{train,val}.json and images/"
PARTS = {"train": "train", "held-out": "val"}  # split and its name in files
KINDS = {
    "det": "instances",
    "iseg": "instances",
    "pose": "person_keypoints",
    "pano": "panoptic",
    "seg": "panoptic",
}  # task and the annotations it reads
_REMEDY = "add it, or name another with train=FILE.json and val=FILE.json"


def parse_place(where: str) -> tuple[Path, dict[str, Path]]:
    """Folder and annotation files of `DIR[,train=FILE.json][,val=FILE.json]`, all absolute.

    A relative file is looked for in DIR, then in the working directory.
    """
    first, *rest = re.split(r",(train|val)=", where)
    folder = open_folder("coco", first, LAYOUT)
    files: dict[str, Path] = {}
    for part, name in zip(rest[::2], rest[1::2], strict=True):
        if part in files:
            raise DataError(f"data 'coco:{where}' names {part} twice: keep one of them")
        files[part] = _find_file(folder, part, name)
    return folder, files


def _find_file(folder: Path, part: str, name: str) -> Path:
    if not name:
        raise DataError(f"data 'coco:{folder}' names no file after {part}=: write {part}=FILE.json")
    given = Path(name).expanduser()
    places = [folder / given, given]
    for place in places:
        if os.path.isfile(place):
            return Path(os.path.abspath(place))  # a link keeps its place, for the PNGs beside it
    raise DataError(f"{places[0]} is no file, nor is {given.resolve()}: give the {part} annotations of COCO format")


def find_annotations(folder: Path, kind: str, part: str) -> Path:
    """The JSON file of one kind and part: KIND_PART.json, or KIND_PART2017.json as downloaded."""
    places = [folder / "annotations" / f"{kind}_{part}{year}.json" for year in ("", "2017")]
    for place in places:
        if place.exists():
            return place
    raise DataError(f"{places[0]} does not exist: {_REMEDY}")


def beside_panoptic(path: Path) -> tuple[Path, Path | None]:
    """The folder of PNGs that belongs to a panoptic JSON file, and the instances file if there is one."""
    instances = path.with_name(path.name.replace("panoptic", "instances", 1))
    return path.with_suffix(""), instances if instances != path and instances.is_file() else None


def find_images(folder: Path, part: str, names: Iterable[str], told: bool) -> Path:
    """The folder below which the images of a part lie: the first that holds any of them.

    told: the annotation file was named by the user, who may have divided the images of one folder anew.
    """
    places = [*_subfolders(part), "images", ""]
    if told:
        places += [place for other in PARTS.values() if other != part for place in _subfolders(other)]
    names = list(names)
    for place in places:
        root = folder / place
        if root.is_dir() and any(os.path.isfile(root / name) for name in names):
            return root
    raise DataError(f"{folder} holds no image of {part}, such as {names[0]}: put them in images/ or images/{part}/")


def _subfolders(part: str) -> list[str]:
    return [f"{before}{part}{year}" for before in ("images/", "") for year in ("", "2017")]
