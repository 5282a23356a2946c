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
    """Images whose folder is their class. `held-out` is val and test, whichever exist."""

    def __init__(self, folder: Path) -> None:
        self.spec, self._folder = f"imagefolder:{folder}", folder

    def check(self, task: str) -> None:
        """Compare the class folders and read the header of every image."""
        self._require_cls(task)
        require_folder(self._folder, _LAYOUT)
        for part in ("train", *self._held_out):
            self._check_classes(part)
        for images in self._images.values():
            for image in images:
                verify_image(image)

    def classes(self, task: str) -> tuple[str, ...]:
        """Names of the folders in train, sorted."""
        self._require_cls(task)
        return self._classes

    def fingerprint(self) -> str:
        """Hash of all images and their places."""
        return hash_files(self._folder, [image for images in self._images.values() for image in images])

    def size(self, split: str) -> int:
        """Number of images."""
        return len(self._images[split])

    def sample(self, split: str, index: int) -> Sample:
        """Image and class. Raises BadDataFailure for a file that is no longer as it was checked."""
        images = self._images[split]
        if not 0 <= index < len(images):
            raise IndexError(f"{self.spec} has {len(images)} images in {split}, not {index}")
        name = images[index].parent.name
        if name not in self._classes:
            raise BadDataFailure(f"{images[index]} is of class '{name}', which train lacks: check the data set")
        try:
            return Sample(decode_image(images[index]), self._classes.index(name))
        except DataError as error:
            raise BadDataFailure(str(error)) from error

    def _require_cls(self, task: str) -> None:
        if task != "cls":
            raise unsupported(self.spec, task, "imagefolder serves cls; choose that task or another data set")

    @cached_property
    def _held_out(self) -> tuple[str, ...]:
        parts = tuple(part for part in ("val", "test") if (self._folder / part).exists())
        if not parts:
            raise DataError(f"{self._folder / 'val'} does not exist, nor test: hold out some images of every class")
        return parts

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        return self._class_names("train")

    @cached_property
    def _images(self) -> dict[str, list[Path]]:
        return {
            "train": self._list_images("train"),
            "held-out": [image for part in self._held_out for image in self._list_images(part)],
        }

    def _class_names(self, part: str) -> tuple[str, ...]:
        folder = self._folder / part
        require_folder(folder, "a folder of images for every class")
        return tuple(found.name for found in list_folders(folder))

    def _list_images(self, part: str) -> list[Path]:
        names = self._class_names(part)
        images = [image for name in names for image in list_files(self._folder / part / name)]
        if not images:
            raise DataError(f"{self._folder / part} is empty: put a folder of images for every class there")
        return images

    def _check_classes(self, part: str) -> None:
        self._list_images(part)
        names = self._class_names(part)
        for name in sorted(set(names) ^ set(self._classes)):
            here, there = (part, "train") if name in names else ("train", part)
            raise DataError(f"{self._folder / here / name} has no counterpart in {there}: add it there or remove it")
        for name in names:
            if not list_files(self._folder / part / name):
                raise DataError(f"{self._folder / part / name} holds no images: add some or remove the class")


@register_format("imagefolder")
def _open(where: str, task: str) -> DataSet:
    return ImageFolder(open_folder("imagefolder", where, _LAYOUT))
