"""The images of a folder of class folders: listed once a machine, then mapped into memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.data.array_files import ArrayFiles, index_folder, join_texts, read_arrays, write_arrays
from workers.data.files import list_files, list_folders, list_left_out, require_folder
from workers.data.image_formats import IMAGE_SUFFIXES, describe_files
from workers.errors import DataError

_INDEXED_IMAGES = 20_000  # fewer are listed in less time than an index takes
_COMPARED_IMAGES = 20_000  # whose sizes are compared with an index


@dataclass(frozen=True, slots=True)
class ImageList:
    """The images of one subset, by class and name.

    folder: of the class folders. classes: names of all class folders, also of empty ones. labels: (n,) positions in
    `classes`. sizes: (n,) bytes of the files. The name of image i ends at ends[i] - 1 of `names`; images in folders
    below that of their class are named with the folder. left_out: describes the other files; empty without any.
    """

    folder: Path
    classes: tuple[str, ...]
    labels: NDArray[np.int32]
    sizes: NDArray[np.int64]
    names: NDArray[np.uint8]
    ends: NDArray[np.int64]
    left_out: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    def class_name(self, index: int) -> str:
        """Return the name of an image's class folder."""
        return self.classes[int(self.labels[index])]

    def path(self, index: int) -> Path:
        """Return the path of an image."""
        start = int(self.ends[index - 1]) if index else 0
        name = self.names[start : int(self.ends[index]) - 1].tobytes().decode("utf-8", "surrogateescape")
        return self.folder / self.class_name(index) / name

    def by_class(self) -> Iterator[tuple[str, list[str], list[int]]]:
        """Yield the name of each class folder with the names and sizes of its images."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        start = 0
        for name, count in zip(self.classes, counts.tolist(), strict=True):
            stop = start + count
            first, last = (int(self.ends[i - 1]) if i else 0 for i in (start, stop))
            text = self.names[first : max(first, last - 1)].tobytes().decode("utf-8", "surrogateescape")
            yield name, text.split("\n") if count else [], self.sizes[start:stop].tolist()
            start = stop


def list_images(folder: Path, *, verify: bool = False) -> ImageList:
    """List the images in the subfolders of `folder`, at any depth, from the index if no subfolder has changed.

    verify: also compare the sizes of some files with the index. A file that was overwritten does not change its
    folder. Raises DataError.
    """
    require_folder(folder, "a folder of images for every class")
    class_folders = list_folders(folder)
    index = index_folder([folder, *class_folders], "images")
    found = _read(folder, index)
    if found is not None and (not verify or _has_sizes(found)):
        return found
    scanned = [_scan(class_folder) for class_folder in class_folders]
    listed = _list(folder, class_folders, scanned)
    if len(listed) >= _INDEXED_IMAGES and found is None:
        arrays: dict[str, NDArray[Any]] = {
            "labels": listed.labels,
            "sizes": listed.sizes,
            "names": listed.names,
            "ends": listed.ends,
        }
        nested = {str(path): changed for scan in scanned for path, changed in scan.nested.items()}
        facts = {"classes": list(listed.classes), "left_out": listed.left_out, "nested": nested}
        write_arrays(index, ArrayFiles(arrays, facts))
    return listed


def _read(folder: Path, index: Path) -> ImageList | None:
    content = read_arrays(index)
    if content is None or not _unchanged(content.facts["nested"]):
        return None
    facts, arrays = content.facts, content.arrays
    columns = arrays["labels"], arrays["sizes"], arrays["names"], arrays["ends"]
    return ImageList(folder, tuple(facts["classes"]), *columns, facts["left_out"])


def _unchanged(nested: Mapping[str, int]) -> bool:
    """Return whether folders below those of the classes have the times that were listed."""
    try:
        return all(os.stat(path).st_mtime_ns == changed for path, changed in nested.items())
    except OSError:
        return False


@dataclass(slots=True)
class _Scan:
    """What a class folder holds. images: name and size. left_out: names. nested: times of the folders below it."""

    images: list[tuple[str, int]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    nested: dict[Path, int] = field(default_factory=dict)


def _list(folder: Path, class_folders: Sequence[Path], scanned: Sequence[_Scan]) -> ImageList:
    counts = [len(scan.images) for scan in scanned]
    names = [name for scan in scanned for name, _ in scan.images]
    ends = np.cumsum([len(name.encode("utf-8", "surrogateescape")) + 1 for name in names], dtype=np.int64)
    loose = [path.name for path in list_files(folder)]
    loose += [name for name in list_left_out(folder) if not (folder / name).is_dir()]
    unused = [
        *loose,
        *(f"{path.name}/{name}" for path, scan in zip(class_folders, scanned, strict=True) for name in scan.left_out),
    ]
    return ImageList(
        folder,
        tuple(path.name for path in class_folders),
        np.repeat(np.arange(len(scanned), dtype=np.int32), counts),
        np.array([size for scan in scanned for _, size in scan.images], dtype=np.int64),
        join_texts(names),
        ends,
        describe_files("files that are no images of a class", unused) if unused else "",
    )


def _has_sizes(images: ImageList) -> bool:
    """Return whether some files, evenly chosen, have the sizes that were listed."""
    chosen = range(0, len(images), max(1, len(images) // _COMPARED_IMAGES))
    try:
        return all(images.path(index).stat().st_size == images.sizes[index] for index in chosen)
    except OSError:
        return False


def _scan(folder: Path) -> _Scan:
    """Return the images in a folder and the folders below it, by name; without hidden files."""
    scan = _Scan()
    _scan_into(scan, folder, "", {_identity(folder)})
    scan.images.sort()
    return scan


def _scan_into(scan: _Scan, folder: Path, prefix: str, seen: set[tuple[int, int]]) -> None:
    """Add the content of one folder. prefix: its path below the class folder. seen: folders already added."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    below = Path(entry.path)
                    if _identity(below) not in seen:  # a link to a folder above it would never end
                        seen.add(_identity(below))
                        scan.nested[below.absolute()] = below.stat().st_mtime_ns
                        _scan_into(scan, below, f"{name}/", seen)
                elif os.path.splitext(name)[1].lower() not in IMAGE_SUFFIXES or not entry.is_file():
                    scan.left_out.append(name)
                elif "\n" in name:
                    raise DataError(f"{folder / entry.name!r}: its name has a line break: rename it")
                else:
                    scan.images.append((name, entry.stat().st_size))
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: check that it is a folder you may read") from error


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
