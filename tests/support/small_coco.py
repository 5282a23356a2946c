"""A small data set in COCO's format, whose annotations and images a test may move, rename or spoil."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.plain_images import red_box, write_png

Content = dict[str, Any]
SIZE, BOX = (20, 12), (4, 2, 12, 8)  # width and height; x0, y0, x1, y1 of the object
JOINTS = ["head", "foot"]


def content(kind: str, names: list[str], **category: Any) -> Content:
    """Return the content of an annotation file: one object, person or segment on each image."""
    x0, y0, x1, y1 = BOX
    images = [{"id": i, "file_name": name, "width": SIZE[0], "height": SIZE[1]} for i, name in enumerate(names, 1)]
    entry = {"category_id": 3, "bbox": [x0, y0, x1 - x0, y1 - y0], "area": 48, "iscrowd": 0}
    entry |= {"segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]]}
    categories = [{"id": 3, "name": "thing", **category}]
    match kind:
        case "person_keypoints":
            entry |= {"keypoints": [x0, y0, 2, x1 - 1, y1 - 1, 1]}
            categories = [categories[0] | {"keypoints": JOINTS}]
        case "panoptic":
            segments = [{"id": 7, "category_id": 3}, {"id": 9, "category_id": 4}]
            annotations = [
                {"image_id": i, "file_name": f"{Path(name).stem}.png", "segments_info": segments}
                for i, name in enumerate(names, 1)
            ]
            stuff = {"id": 4, "name": "ground", "isthing": 0}
            return {
                "images": images,
                "annotations": annotations,
                "categories": [categories[0] | {"isthing": 1} | category, stuff],
            }
    return {
        "images": images,
        "annotations": [entry | {"id": 10 + i, "image_id": i} for i in range(1, len(names) + 1)],
        "categories": categories,
    }


def write_images(folder: Path, names: list[str], shade: int = 0) -> None:
    """Write an image with the object for each name. shade: distinguishes images of different subsets."""
    for name in names:
        pixels = red_box(SIZE, BOX)
        pixels[..., 1] = shade
        write_png(folder / name, pixels)


def write_small_coco(folder: Path, names: list[str] | None = None) -> Path:
    """Write two images a subset with annotations of all kinds in our own layout; those of val have shade 100."""
    names = names or ["1.png", "2.png"]
    for part, shade in (("train", 0), ("val", 100)):
        write_images(folder / "images" / part, names, shade)
        for name in names:
            ids = red_box(SIZE, BOX)
            ids[...] = np.where(ids[..., :1] > 0, (7, 0, 0), (9, 0, 0))
            write_png(folder / f"annotations/panoptic_{part}" / f"{Path(name).stem}.png", ids)
        for kind in ("instances", "person_keypoints", "panoptic"):
            write_json(folder / f"annotations/{kind}_{part}.json", content(kind, names))
    return folder


def write_json(path: Path, document: Any) -> Path:
    """Write a document, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def edit(path: Path, change: Callable[[Content], object]) -> None:
    """Change the content of a JSON file."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
