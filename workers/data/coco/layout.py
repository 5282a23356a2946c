"""The annotation files of `coco:DIR`: our own layout, those of downloads and exports, or files that the user names.

A split (`train` or `held-out`) is the subset `train` or `val` in names of files and folders.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from workers.data.files import list_files, list_folders, open_folder
from workers.data.subset_names import subset_of
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
_KINDS = ("instances", "person_keypoints", "panoptic", "captions", "stuff")
_YEAR = re.compile(r"[-_]?20\d\d$")
# What exports call the annotation file of a subset in the folder of that subset, of objects or people.
_IN_SUBSET_FOLDER = ("_annotations.coco.json", "labels.json", "result.json", "annotations.json")
_RECOGNISED = (
    "annotations/KIND_SUBSET.json of COCO 2014, COCO 2017 and CVAT, SUBSET/_annotations.coco.json of Roboflow, "
    "SUBSET/labels.json of FiftyOne and SUBSET/result.json of Label Studio"
)


def parse_location(location: str) -> tuple[Path, dict[str, Path]]:
    """Parse `DIR[,train=FILE.json][,val=FILE.json]` into the folder and the annotation files, all absolute.

    A relative file name is searched in DIR and in the working directory.
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
    found = [path for path in candidates if os.path.isfile(path)]
    if len(found) == 2 and not os.path.samefile(*found):
        raise DataError(f"{subset}={name} is {found[0]} and also {found[1].resolve()}: write the absolute path of one")
    if found:
        return Path(os.path.abspath(found[0]))  # links are not resolved: the PNGs are in the folder of the link
    raise DataError(
        f"{candidates[0]} is not a file, and neither is {given.resolve()}: "
        f"give the {subset} annotations as a COCO annotation file"
    )


def find_annotations(folder: Path, kind: str, subset: str) -> Path:
    """Find the annotation file of one kind and subset.

    KIND_SUBSET.json in annotations/, or KIND_SUBSET2017.json as downloaded, else that of a layout of exports. Raises
    DataError if there is none or if several exports are mixed.
    """
    candidates = [folder / "annotations" / f"{kind}_{subset}{year}.json" for year in ("", "2017")]
    for path in candidates:
        if path.exists():
            return path
    exported = [*_in_annotations(folder, kind, subset), *_in_subset_folders(folder, kind, subset)]
    if len(exported) > 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in exported)
        raise DataError(f"{folder} has several files of {subset} annotations ({names}): name one with {subset}=FILE")
    if exported:
        return exported[0]
    raise DataError(f"{candidates[0]} does not exist: {_REMEDY}{_also_recognised(folder, kind)}")


def _in_annotations(folder: Path, kind: str, subset: str) -> list[Path]:
    """Return files such as annotations/instances_Validation.json or instances_val2014.json."""
    parent = folder / "annotations"
    if not parent.is_dir():
        return []
    return [path for path in list_files(parent, (".json",)) if split_name(path) == (kind, subset)]


def _in_subset_folders(folder: Path, kind: str, subset: str) -> list[Path]:
    """Return files such as valid/_annotations.coco.json."""
    if kind == "panoptic":
        return []
    parents = [path for path in list_folders(folder) if subset_of(_YEAR.sub("", path.name)) == subset]
    return [parent / name for parent in parents for name in _IN_SUBSET_FOLDER if (parent / name).is_file()]


def split_name(path: Path) -> tuple[str, str | None]:
    """Return kind and subset in the name of an annotation file, as far as it has them: instances_val2014 -> val."""
    kind = next((kind for kind in _KINDS if path.stem.startswith(f"{kind}_")), "")
    return kind, subset_of(_YEAR.sub("", path.stem.removeprefix(f"{kind}_")))


def _also_recognised(folder: Path, kind: str) -> str:
    """Describe the other layouts, and the JSON files of a folder without any."""
    if (folder / "annotations" / f"{kind}_train.json").exists():
        return ""
    places = [place for place in (folder, folder / "annotations") if place.is_dir()]
    files = [path.relative_to(folder).as_posix() for place in places for path in list_files(place, (".json",))]
    found = f"; it has {', '.join(files[:5])}" if files else ""
    return f"; recognised too: {_RECOGNISED}{found}"


def find_panoptic_companions(path: Path) -> tuple[Path, Path | None]:
    """Return the folder of PNGs of a panoptic JSON file, and the instances file in the same folder, if there is one."""
    instances = path.with_name(path.name.replace("panoptic", "instances", 1))
    return path.with_suffix(""), instances if instances != path and instances.is_file() else None
