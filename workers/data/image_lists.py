"""The images of a folder of class folders: listed once a machine, then mapped into memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.data.array_files import ArrayFiles, index_folder, join_texts, read_arrays, write_arrays
from workers.data.files import IMAGE_SUFFIXES, list_folders, require_folder
from workers.errors import DataError

_INDEXED_IMAGES = 20_000  # fewer are listed in less time than an index takes
_COMPARED_IMAGES = 20_000  # whose sizes are compared with an index


@dataclass(frozen=True, slots=True)
class ImageList:
    """The images of one subset, by class and name.

    folder: of the class folders. classes: names of all class folders, also of empty ones. labels: (n,) positions in
    `classes`. sizes: (n,) bytes of the files. The name of image i ends at ends[i] - 1 of `names`.
    """

    folder: Path
    classes: tuple[str, ...]
    labels: NDArray[np.int32]
    sizes: NDArray[np.int64]
    names: NDArray[np.uint8]
    ends: NDArray[np.int64]

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
    """List the images in the subfolders of `folder`, from the index if no subfolder has changed.

    verify: also compare the sizes of some files with the index. A file that was overwritten does not change its
    folder. Raises DataError.
    """
    require_folder(folder, "a folder of images for every class")
    class_folders = list_folders(folder)
    index = index_folder([folder, *class_folders], "images")
    found = _read(folder, index)
    if found is not None and (not verify or _has_sizes(found)):
        return found
    listed = _list(folder, class_folders)
    if len(listed) >= _INDEXED_IMAGES and found is None:
        arrays: dict[str, NDArray[Any]] = {
            "labels": listed.labels,
            "sizes": listed.sizes,
            "names": listed.names,
            "ends": listed.ends,
        }
        write_arrays(index, ArrayFiles(arrays, {"classes": list(listed.classes)}))
    return listed


def _read(folder: Path, index: Path) -> ImageList | None:
    content = read_arrays(index)
    if content is None:
        return None
    classes, arrays = tuple(content.facts["classes"]), content.arrays
    return ImageList(folder, classes, arrays["labels"], arrays["sizes"], arrays["names"], arrays["ends"])


def _list(folder: Path, class_folders: Sequence[Path]) -> ImageList:
    files = [_scan(class_folder) for class_folder in class_folders]
    counts = [len(entries) for entries in files]
    names = [name for entries in files for name, _ in entries]
    ends = np.cumsum([len(name.encode("utf-8", "surrogateescape")) + 1 for name in names], dtype=np.int64)
    return ImageList(
        folder,
        tuple(path.name for path in class_folders),
        np.repeat(np.arange(len(files), dtype=np.int32), counts),
        np.array([size for entries in files for _, size in entries], dtype=np.int64),
        join_texts(names),
        ends,
    )


def _has_sizes(images: ImageList) -> bool:
    """Return whether some files, evenly chosen, have the sizes that were listed."""
    chosen = range(0, len(images), max(1, len(images) // _COMPARED_IMAGES))
    try:
        return all(images.path(index).stat().st_size == images.sizes[index] for index in chosen)
    except OSError:
        return False


def _scan(folder: Path) -> list[tuple[str, int]]:
    """Return name and size of each image in a folder, by name; without hidden files and subfolders."""
    images = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(".") or os.path.splitext(name)[1].lower() not in IMAGE_SUFFIXES:
                    continue
                if entry.is_file():
                    if "\n" in name:
                        raise DataError(f"{folder / name!r}: its name has a line break: rename it")
                    images.append((name, entry.stat().st_size))
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: check that it is a folder you may read") from error
    return sorted(images)
