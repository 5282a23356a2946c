"""The annotations of one split: read from JSON once a machine, then mapped into memory from an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.data.array_files import ArrayFiles, index_folder, join_texts, read_arrays, split_texts, write_arrays
from workers.data.coco.image_places import find_images
from workers.data.coco.json import read_json
from workers.data.coco.layout import ANNOTATION_KINDS, SUBSETS, find_annotations, find_panoptic_companions
from workers.data.coco.masks import Segmentations
from workers.data.coco.objects import Category, Dropped, Images, Objects, read_categories, read_images, read_objects
from workers.data.coco.panoptic import MAX_CLASSES, Segments, read_segments
from workers.errors import DataError

_INDEXED_BYTES = 2**20  # smaller annotation files are read in less time than an index takes


@dataclass(frozen=True, slots=True)
class Subset:
    """The annotations of one split.

    path: of the annotation file. root: the folder of its images. used: positions of the images that the split consists
    of. digests: hashes of the annotation files' bytes.
    """

    path: Path
    categories: tuple[Category, ...]
    images: Images
    root: Path
    objects: Objects | None
    segments: Segments | None
    used: NDArray[np.int64]
    dropped: tuple[Dropped, ...]
    digests: tuple[bytes, ...]


def read_subset(folder: Path, files: Mapping[str, Path], task: str, split: str) -> Subset:
    """Read the annotations of one split. files: the annotation files that the user named. Raises DataError."""
    name = SUBSETS[split]
    path = files.get(name) or find_annotations(folder, ANNOTATION_KINDS[task], name)
    pngs, instances = find_panoptic_companions(path) if task in ("pano", "seg") else (None, None)
    sources = [path, instances] if task == "pano" and instances is not None else [path]
    subset = _read_indexed(sources, pngs, task, split)
    used = [subset.images.names[image] for image in subset.used]
    return replace(subset, root=find_images(folder, path, name, used, name in files))


def _read_indexed(sources: Sequence[Path], pngs: Path | None, task: str, split: str) -> Subset:
    """Read the annotations, from the index if there is one. sources: the annotation file, and that of instances."""
    try:
        large = sum(source.stat().st_size for source in sources) >= _INDEXED_BYTES
        index = index_folder(sources, f"coco {task} {split}") if large else None
    except OSError:
        index = None  # the error for a missing file names it
    if index is not None and (content := read_arrays(index)) is not None:
        return _from_arrays(content, sources, pngs)
    subset = _parse(sources, pngs, task, split)
    if index is not None:
        write_arrays(index, _to_arrays(subset))
    return subset


def _parse(sources: Sequence[Path], pngs: Path | None, task: str, split: str) -> Subset:
    path = sources[0]
    content, digest = read_json(path)
    images = read_images(path, content)
    categories = read_categories(path, content, task)
    objects, segments, digests = None, None, [digest]
    dropped: tuple[Dropped, ...] = ()
    if pngs is not None:
        if len(categories) > MAX_CLASSES:
            raise DataError(f"{path} has {len(categories)} categories: at most {MAX_CLASSES} are supported, merge some")
        segments = read_segments(path, content, pngs, images, categories)
        for instances in sources[1:]:
            content, digest = read_json(instances)
            digests.append(digest)
            classes = _match_things(instances, content, path, categories)
            objects, dropped = read_objects(instances, content, images, classes, task, 0)
    else:
        classes = {category.id: position for position, category in enumerate(categories)}
        objects, dropped = read_objects(path, content, images, classes, task, len(categories[0].joints))
    used = _choose_images(task, split, path, images, objects, segments)
    return Subset(path, categories, images, Path(), objects, segments, used, dropped, tuple(digests))


def _match_things(
    instances: Path, content: dict[str, object], panoptic: Path, categories: tuple[Category, ...]
) -> dict[int, int]:
    """Return the class of each category id of an instances file, among the categories of its panoptic file."""
    things = {(category.id, category.name): position for position, category in enumerate(categories) if category.thing}
    instance_categories = read_categories(instances, content, "iseg")
    for category in instance_categories:
        if (category.id, category.name) not in things:
            raise DataError(
                f"{instances}: category {category.id} is not a thing with this id and name in {panoptic.name}: "
                "give both files the same categories"
            )
    return {category.id: things[category.id, category.name] for category in instance_categories}


def _choose_images(
    task: str, split: str, path: Path, images: Images, objects: Objects | None, segments: Segments | None
) -> NDArray[np.int64]:
    """Return the images of a split: all, but of train only those with usable annotations.

    For pose all images are used, since its examples are people.
    """
    if segments is not None:
        usable = np.flatnonzero(np.diff(segments.starts))
    else:
        assert objects is not None
        rows = objects.people() if task == "pose" else np.flatnonzero(~objects.crowds)
        if rows.size and bool(objects.blank[rows].all()):
            raise DataError(f"{path} has no object whose mask has a pixel: check the coordinates of its polygons")
        usable = np.unique(objects.images_of(rows))
    if not usable.size:
        kind = "person with a labelled joint" if task == "pose" else "object or segment"
        raise DataError(f"{path} has no usable {kind} on any image: annotate some, or give another file")
    return usable if split == "train" and task != "pose" else np.arange(len(images.names))


def _to_arrays(subset: Subset) -> ArrayFiles:
    arrays: dict[str, NDArray[Any]] = {
        "used": subset.used,
        "sizes": subset.images.sizes,
        "names": join_texts(subset.images.names),
    }
    for prefix, part in (
        ("objects", subset.objects),
        ("segmentations", subset.objects and subset.objects.segmentations),
        ("segments", subset.segments),
    ):
        if part is not None:
            values = {field.name: getattr(part, field.name) for field in fields(part)}
            arrays |= {f"{prefix}-{name}": value for name, value in values.items() if isinstance(value, np.ndarray)}
    if subset.segments is not None:
        arrays["pngs"] = join_texts(subset.segments.names)
    facts = {
        "categories": [asdict(category) for category in subset.categories],
        "dropped": [asdict(dropped) | {"path": str(dropped.path)} for dropped in subset.dropped],
        "digests": [digest.hex() for digest in subset.digests],
        "images": len(subset.images.names),
    }
    return ArrayFiles(arrays, facts)


def _from_arrays(content: ArrayFiles, sources: Sequence[Path], pngs: Path | None) -> Subset:
    facts, arrays, count = content.facts, content.arrays, content.facts["images"]

    def group(prefix: str) -> dict[str, Any]:
        return {
            name.removeprefix(f"{prefix}-"): value for name, value in arrays.items() if name.startswith(f"{prefix}-")
        }

    objects, segments = None, None
    if of_objects := group("objects"):
        masks = Segmentations(**of_masks) if (of_masks := group("segmentations")) else None
        objects = Objects(**of_objects, segmentations=masks)
    if of_segments := group("segments"):
        assert pngs is not None
        segments = Segments(path=sources[0], folder=pngs, names=split_texts(arrays["pngs"], count), **of_segments)
    categories = tuple(
        Category(**entry | {"joints": tuple(entry["joints"]), "sigmas": tuple(entry["sigmas"])})
        for entry in facts["categories"]
    )
    dropped = tuple(Dropped(**entry | {"path": Path(entry["path"])}) for entry in facts["dropped"])
    return Subset(
        sources[0],
        categories,
        Images(split_texts(arrays["names"], count), arrays["sizes"], {}),
        Path(),
        objects,
        segments,
        arrays["used"],
        dropped,
        tuple(bytes.fromhex(digest) for digest in facts["digests"]),
    )
