"""`imagefolder:DIR`: {split}/{class}/..., the layout of torchvision's ImageFolder, in all formats that Pillow reads."""

from __future__ import annotations

import hashlib
import warnings
from functools import cached_property
from pathlib import Path

import numpy as np

from workers.data.base import DataSet, DataWarning, Sample, register_format, unsupported
from workers.data.deep_images import bits_in_use, with_reading
from workers.data.files import decode_image, hash_files, open_folder, require_folder, verify_image
from workers.data.image_lists import ImageList, list_images
from workers.data.subset_names import find_subset_folder
from workers.errors import BadDataFailure, DataError

_LAYOUT = "{train,val}/{class}/*.jpg"
# Of larger data sets, the sizes of files are hashed instead of their bytes, and some images are opened.
_MAX_HASHED_IMAGES, _MAX_HASHED_BYTES = 50_000, 4 * 2**30
_OPENED_IMAGES = 1000  # number of images per subset that are opened in larger data sets


class ImageFolder(DataSet):
    """Images whose folder is their class.

    The split `held-out` consists of the subsets val and test, as far as they exist. Images may be in further folders
    below that of their class.
    """

    def __init__(self, folder: Path) -> None:
        self.spec, self._folder = f"imagefolder:{folder}", folder
        self._verify = False

    def check(self, task: str) -> None:
        """Compare the class folders and read the header of every image, of larger data sets of some images."""
        self._require_cls(task)
        require_folder(self._folder, _LAYOUT)
        self._verify = True
        for subset, images in self._subsets.items():
            self._check_classes(subset, images)
        for images in self._subsets.values():
            for index in range(min(len(images), _OPENED_IMAGES) if self._is_large else len(images)):
                verify_image(images.path(index))
        if len(self._classes) < 2:
            raise DataError(
                f"{self._subsets['train'].folder} holds one class, '{self._classes[0]}': a network learns to tell "
                "classes apart: add a folder for each further class"
            )
        left_out = [f"{images.folder}: left out {images.left_out}" for images in self._subsets.values()]
        if notes := [note for note, images in zip(left_out, self._subsets.values(), strict=True) if images.left_out]:
            warnings.warn("; ".join(notes), DataWarning, stacklevel=2)

    def classes(self, task: str) -> tuple[str, ...]:
        """Return the names of the folders in train, sorted."""
        self._require_cls(task)
        return self._classes

    def fingerprint(self) -> str:
        """Return the hash of all images and their paths; of larger data sets of their sizes and paths.

        Deep images that use fewer bits, and transparent ones, give another hash.
        """
        return with_reading(self._content(), self._paths, self._bits)

    def _content(self) -> str:
        lists = sorted(self._subsets.items())
        if not self._is_large:
            return hash_files(self._folder, [images.path(i) for _, images in lists for i in range(len(images))])
        digest = hashlib.sha256(b"sizes")
        for subset, images in lists:
            for name, files, sizes in images.by_class():
                digest.update(f"{subset}/{name}\0".encode("utf-8", "surrogateescape"))
                digest.update("\0".join(files).encode("utf-8", "surrogateescape"))
                digest.update(np.array(sizes, dtype="<i8").tobytes())
        return digest.hexdigest()[:16]

    def size(self, split: str) -> int:
        """Return the number of images."""
        return sum(len(images) for images in self._lists(split))

    def sample(self, split: str, index: int) -> Sample:
        """Return an image and its class. Raises BadDataFailure for a file that changed after the check."""
        self.require_index(split, index)
        for images in self._lists(split):
            if index < len(images):
                break
            index -= len(images)
        path, name = images.path(index), images.class_name(index)
        if name not in self._classes:
            raise BadDataFailure(f"{path} is of class '{name}', which is not in train: check the data set")
        try:
            return Sample(decode_image(path, bits=self._bits), self._classes.index(name))
        except DataError as error:
            raise BadDataFailure(str(error)) from error

    def _require_cls(self, task: str) -> None:
        if task != "cls":
            raise unsupported(self.spec, task, "imagefolder supports cls; choose that task or another data set")

    @property
    def _paths(self) -> list[Path]:
        return [images.path(index) for images in self._subsets.values() for index in range(len(images))]

    @cached_property
    def _bits(self) -> int:
        return bits_in_use(self._paths)

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        return self._subsets["train"].classes

    @cached_property
    def _subsets(self) -> dict[str, ImageList]:
        """The images of train, and of those that exist of val and test."""
        folders = {subset: find_subset_folder(self._folder, subset) for subset in ("train", "val", "test")}
        found = {subset: folder for subset, folder in folders.items() if folder is not None}
        if not found.keys() & {"val", "test"}:
            fault = f"{self._folder / 'val'} does not exist, and neither does test"
            raise DataError(f"{fault}: hold out some images of every class")
        require_folder(found.get("train", self._folder / "train"), "a folder of images for every class")
        lists = {subset: list_images(folder, verify=self._verify) for subset, folder in found.items()}
        for images in lists.values():
            if not len(images):
                raise DataError(f"{images.folder} is empty: put a folder of images for every class there")
        return lists

    def _lists(self, split: str) -> list[ImageList]:
        return [images for subset, images in self._subsets.items() if (subset == "train") == (split == "train")]

    @cached_property
    def _is_large(self) -> bool:
        lists = self._subsets.values()
        count, size = sum(map(len, lists)), sum(int(images.sizes.sum()) for images in lists)
        return count > _MAX_HASHED_IMAGES or size > _MAX_HASHED_BYTES

    def _check_classes(self, subset: str, images: ImageList) -> None:
        for name in sorted(set(images.classes) ^ set(self._classes)):
            present, absent = (subset, "train") if name in images.classes else ("train", subset)
            fault = f"{self._subsets[present].folder / name} has no counterpart in {absent}"
            raise DataError(f"{fault}: add it there or remove it")
        filled = set(np.unique(images.labels).tolist())
        for label, name in enumerate(images.classes):
            if label not in filled:
                raise DataError(f"{images.folder / name} holds no images: add some or remove the class")


@register_format("imagefolder")
def _open(location: str, task: str) -> DataSet:
    return ImageFolder(open_folder("imagefolder", location, _LAYOUT))
