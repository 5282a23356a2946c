"""The folders of `masks:DIR`, and which annotation belongs to which image."""

from __future__ import annotations

from pathlib import Path

from workers.data.files import list_files, list_left_out, require_folder
from workers.data.image_formats import IMAGE_SUFFIXES, describe_files
from workers.data.label_images import LABEL_SUFFIXES
from workers.data.subset_names import find_subset_folder
from workers.errors import DataError

ImageWithLabels = tuple[Path, Path]  # image, annotation
# What exports call the folders of images and of annotations.
KINDS = {"images": ("images", "data", "img", "imgs"), "annotations": ("annotations", "labels", "masks")}


def find_mask_folder(folder: Path, kind: str, subset: str) -> Path:
    """Return the folder of `images` or `annotations` of a subset: KIND/SUBSET or, without a folder KIND, SUBSET/KIND.

    If there is none, returns where our own layout has it. Raises DataError if there are several.
    """
    usual = folder / kind
    if usual.is_dir():
        return find_subset_folder(usual, subset) or usual / subset
    found = [find_subset_folder(folder / name, subset) for name in KINDS[kind]]
    if (parent := find_subset_folder(folder, subset)) is not None:
        found += [parent / name for name in KINDS[kind] if (parent / name).is_dir()]
    folders = [path for path in found if path is not None]
    if len(folders) > 1:
        raise DataError(f"{folders[0]} and {folders[1]} may both hold the {subset} {kind}: move one of them away")
    return folders[0] if folders else usual / subset


def list_pairs(images: Path, annotations: Path, subset: str) -> list[ImageWithLabels]:
    """Return the images of a subset and their annotations, which may be missing. Raises DataError if there are none."""
    require_folder(images, f"the {subset} images")
    require_folder(annotations, f"the annotations of the {subset} images")
    labels = {path.stem: path for path in list_files(annotations, LABEL_SUFFIXES)}
    pairs = [(image, labels.get(image.stem, annotations / f"{image.stem}.png")) for image in list_files(images)]
    if not pairs:
        raise DataError(f"{images} is empty: put the {subset} images (.jpg or .png) there")
    return pairs


def check_names(images: Path, annotations: Path) -> list[str]:
    """Check that images and annotations have the same names; return what is left out. Raises DataError."""
    files, labels = list_files(images), list_files(annotations, LABEL_SUFFIXES)
    by_stem, annotated = {image.stem: image for image in files}, {label.stem: label for label in labels}
    for image in files:
        if by_stem[image.stem] != image:
            raise DataError(f"{image} and {by_stem[image.stem].name} share one annotation: rename one of them")
        if image.stem not in annotated:
            lossy = [path for path in list_files(annotations) if path.stem == image.stem]
            where = f"{annotations.parent.name}/{annotations.name}/{image.stem}.png"
            if lossy:
                raise DataError(f"{lossy[0]} does not keep class ids exactly: save it as {where}")
            raise DataError(f"{image} has no annotation: add {where} or remove it")
    for label in labels:
        if annotated[label.stem] != label:
            raise DataError(f"{label} and {annotated[label.stem].name} are of one image: remove one of them")
        if label.stem not in by_stem:
            where = f"{images.parent.name}/{images.name}/{label.stem}"
            raise DataError(f"{label} has no image: add {where}.jpg or .png, or remove it")
    unused = [
        (images, list_left_out(images, IMAGE_SUFFIXES)),
        (annotations, list_left_out(annotations, LABEL_SUFFIXES)),
    ]
    return [f"{parent}: left out {describe_files('files or folders', names)}" for parent, names in unused if names]
