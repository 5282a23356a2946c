"""`imagefolder:DIR`: {split}/{class}/*.jpg|jpeg|png, the layout of torchvision's ImageFolder."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from workers.data.base import DataSet, Sample, register_format, unsupported
from workers.data.files import (
    decode_image,
    hash_files,
    list_files,
    list_folders,
    open_folder,
    require_folder,
    verify_image,
)
from workers.errors import BadDataFailure, DataError

_LAYOUT = "{train,val}/{class}/*.jpg|jpeg|png"


class ImageFolder(DataSet):
    """Images whose folder is their class.

    The split `held-out` consists of the subsets val and test, as far as they exist.
    """

    def __init__(self, folder: Path) -> None:
        self.spec, self._folder = f"imagefolder:{folder}", folder

    def check(self, task: str) -> None:
        """Compare the class folders and read the header of every image."""
        self._require_cls(task)
        require_folder(self._folder, _LAYOUT)
        for subset in ("train", *self._held_out):
            self._check_classes(subset)
        for images in self._images.values():
            for image in images:
                verify_image(image)

    def classes(self, task: str) -> tuple[str, ...]:
        """Return the names of the folders in train, sorted."""
        self._require_cls(task)
        return self._classes

    def fingerprint(self) -> str:
        """Return the hash of all images and their paths."""
        return hash_files(self._folder, [image for images in self._images.values() for image in images])

    def size(self, split: str) -> int:
        """Return the number of images."""
        return len(self._images[split])

    def sample(self, split: str, index: int) -> Sample:
        """Return an image and its class. Raises BadDataFailure for a file that changed after the check."""
        self.require_index(split, index)
        image = self._images[split][index]
        name = image.parent.name
        if name not in self._classes:
            raise BadDataFailure(f"{image} is of class '{name}', which is not in train: check the data set")
        try:
            return Sample(decode_image(image), self._classes.index(name))
        except DataError as error:
            raise BadDataFailure(str(error)) from error

    def _require_cls(self, task: str) -> None:
        if task != "cls":
            raise unsupported(self.spec, task, "imagefolder supports cls; choose that task or another data set")

    @cached_property
    def _held_out(self) -> tuple[str, ...]:
        """The subsets that exist of val and test."""
        subsets = tuple(subset for subset in ("val", "test") if (self._folder / subset).exists())
        if not subsets:
            fault = f"{self._folder / 'val'} does not exist, and neither does test"
            raise DataError(f"{fault}: hold out some images of every class")
        return subsets

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        return self._class_names("train")

    @cached_property
    def _images(self) -> dict[str, list[Path]]:
        return {
            "train": self._list_images("train"),
            "held-out": [image for subset in self._held_out for image in self._list_images(subset)],
        }

    def _class_names(self, subset: str) -> tuple[str, ...]:
        folder = self._folder / subset
        require_folder(folder, "a folder of images for every class")
        return tuple(class_folder.name for class_folder in list_folders(folder))

    def _list_images(self, subset: str) -> list[Path]:
        names = self._class_names(subset)
        images = [image for name in names for image in list_files(self._folder / subset / name)]
        if not images:
            raise DataError(f"{self._folder / subset} is empty: put a folder of images for every class there")
        return images

    def _check_classes(self, subset: str) -> None:
        self._list_images(subset)
        names = self._class_names(subset)
        for name in sorted(set(names) ^ set(self._classes)):
            present, absent = (subset, "train") if name in names else ("train", subset)
            fault = f"{self._folder / present / name} has no counterpart in {absent}"
            raise DataError(f"{fault}: add it there or remove it")
        for name in names:
            if not list_files(self._folder / subset / name):
                raise DataError(f"{self._folder / subset / name} holds no images: add some or remove the class")


@register_format("imagefolder")
def _open(location: str, task: str) -> DataSet:
    return ImageFolder(open_folder("imagefolder", location, _LAYOUT))
