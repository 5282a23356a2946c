"""Data sets of a few images in each format, under the names that the documentation gives them."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.plain_images import red_box, write_png
from tests.support.small_coco import write_images, write_small_coco

_IMAGES, _SIZE = 4, (64, 48)  # a subset; width and height
_SUBSETS = {"training": "train", "validation": "val"}  # names in ADE20K


def write_data_set(spec: str, folder: Path) -> None:
    """Write the data set FORMAT:NAME[,...] to FOLDER/NAME, in the layout in which it is downloaded."""
    kind, _, where = spec.partition(":")
    target = folder / where.split(",")[0]
    match kind:
        case "coco" if target.name == "mpii":
            _write_mpii(target)
        case "coco":
            _write_coco_2017(target)
        case "masks":
            _write_masks(target, ade="ignore=0" in where)
        case "imagefolder":
            _write_classes(target, "JPEG" if target.name == "imagenet" else "jpg")


def _names() -> list[str]:
    return [f"{number}.png" for number in range(1, _IMAGES + 1)]


def _write_coco(folder: Path) -> None:
    """Write annotations of all kinds, and images that differ from those of a set with another name."""
    write_small_coco(folder, _names())
    for part, shade in (("train", 0), ("val", 100)):
        write_images(folder / "images" / part, _names(), shade + zlib.crc32(folder.name.encode()) % 50)


def _write_coco_2017(folder: Path) -> None:
    """Write annotations/KIND_{train,val}2017.json and {train,val}2017/."""
    _write_coco(folder)
    for part in ("train", "val"):
        (folder / "images" / part).rename(folder / f"{part}2017")
        for kind in ("instances", "person_keypoints", "panoptic"):
            source = folder / f"annotations/{kind}_{part}.json"
            source.rename(source.with_stem(f"{kind}_{part}2017"))
        (folder / f"annotations/panoptic_{part}").rename(folder / f"annotations/panoptic_{part}2017")
    (folder / "images").rmdir()


def _write_mpii(folder: Path) -> None:
    """Write images, with mpii_{train,val}.json next to the folder."""
    _write_coco(folder)
    for part in ("train", "val"):
        (folder / f"annotations/person_keypoints_{part}.json").rename(folder.parent / f"mpii_{part}.json")


def _write_masks(folder: Path, ade: bool) -> None:
    """Write images and masks of two classes, and of a third id that is not used: 0 in ADE20K, 255 elsewhere."""
    background, thing, void = (1, 2, 0) if ade else (0, 1, 255)
    for part in (*_SUBSETS,) if ade else ("train", "val", "test"):
        for number, name in enumerate(_names()):
            pixels = red_box(_SIZE, (8, 8, 40, 36))
            pixels[..., 1] = 20 * number + len(part)
            write_png(folder / "images" / part / name, pixels)
            mask = np.where(pixels[..., 0] > 0, thing, background).astype(np.uint8)
            mask[:2] = void
            write_png(folder / "annotations" / part / name, mask)
    if not ade:
        (folder / "classes.json").write_text(json.dumps(["ground", "box"]))


def _write_classes(folder: Path, suffix: str) -> None:
    for shade, part in ((0, "train"), (100, "val")):
        for name, box in (("large", (4, 4, 60, 44)), ("small", (24, 16, 40, 32))):
            (folder / part / name).mkdir(parents=True)
            for number in range(_IMAGES):
                pixels = red_box(_SIZE, box)
                pixels[..., 1] = shade + 20 * number
                Image.fromarray(pixels).save(folder / part / name / f"{number}.{suffix}", "JPEG")
