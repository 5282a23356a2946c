"""A data set with the statistics of COCO 2017, for measurements: 640x480 JPEGs, about seven objects an image."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.data.panoptic_ids import id2rgb

WIDTH, HEIGHT, CLASSES, STUFF, JOINTS = 640, 480, 80, 53, 17
_POLYGON_POINTS = 24


def write_coco_like(
    folder: Path, images: int, *, files: int | None = None, panoptic: bool = True, seed: int = 0
) -> Path:
    """Write annotations of `images` training images and a quarter as many held-out ones. Returns the folder.

    files: number of different JPEGs, which the images are links to; as many as images if None.
    """
    for part, count in (("train", images), ("val", max(1, images // 4))):
        _write_part(folder, part, count, files, panoptic, np.random.default_rng([seed, count]))
    return folder


def _write_part(
    folder: Path, part: str, count: int, files: int | None, panoptic: bool, rng: np.random.Generator
) -> None:
    pictures, pngs = folder / "images" / part, folder / "annotations" / f"panoptic_{part}"
    for directory in (pictures, pngs):
        directory.mkdir(parents=True, exist_ok=True)
    contents = [_jpeg(rng) for _ in range(min(count, files or count))]
    objects, people, segments = list[Any](), list[Any](), list[Any]()
    for image in range(count):
        path = pictures / f"{image:012d}.jpg"
        if image < len(contents):
            path.write_bytes(contents[image])
        else:
            path.hardlink_to(pictures / f"{image % len(contents):012d}.jpg")
        drawn = [_object(rng, image, len(objects) + i + 1) for i in range(1 + int(rng.poisson(6.3)))]
        objects += drawn
        people += [_person(rng, entry) for entry in drawn[:2]]
        if panoptic:
            segments.append(_write_panoptic(pngs / f"{image:012d}.png", drawn, image, rng))
    records = [
        {"id": image, "file_name": f"{image:012d}.jpg", "width": WIDTH, "height": HEIGHT} for image in range(count)
    ]
    things = [{"id": i + 1, "name": f"thing {i + 1}", "isthing": 1} for i in range(CLASSES)]
    stuff = [{"id": CLASSES + i + 1, "name": f"stuff {i + 1}", "isthing": 0} for i in range(STUFF)]
    joints = {"keypoints": [f"joint {i}" for i in range(JOINTS)]}
    for kind, entries, categories in (
        ("instances", objects, things),
        ("person_keypoints", people, [things[0] | joints]),
        *([("panoptic", segments, things + stuff)] if panoptic else []),
    ):
        content = {"images": records, "annotations": entries, "categories": categories}
        (folder / "annotations" / f"{kind}_{part}.json").write_text(json.dumps(content))


def _jpeg(rng: np.random.Generator) -> bytes:
    """Return a picture with large and small structures, about as many bytes as COCO's."""
    coarse = np.asarray(
        Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
            (WIDTH, HEIGHT), Image.Resampling.BICUBIC
        )
    )
    noisy = np.clip(coarse + rng.normal(0, 14, coarse.shape), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=88)
    return file.getvalue()


def _object(rng: np.random.Generator, image: int, number: int) -> dict[str, Any]:
    width, height = (float(v) for v in np.exp(rng.normal(4.2, 0.8, 2)).clip(8, [WIDTH - 10, HEIGHT - 10]))
    x, y = float(rng.uniform(0, WIDTH - width)), float(rng.uniform(0, HEIGHT - height))
    angles = np.sort(rng.uniform(0, 2 * np.pi, _POLYGON_POINTS))
    radii = rng.uniform(0.6, 1.0, _POLYGON_POINTS)
    points = np.stack([x + width * (1 + radii * np.cos(angles)) / 2, y + height * (1 + radii * np.sin(angles)) / 2], 1)
    box = [round(v, 2) for v in (x, y, width, height)]
    entry = {"id": number, "image_id": image, "category_id": int(rng.integers(CLASSES)) + 1, "bbox": box, "iscrowd": 0}
    return entry | {"area": round(0.5 * width * height, 2), "segmentation": [points.round(2).ravel().tolist()]}


def _person(rng: np.random.Generator, entry: dict[str, Any]) -> dict[str, Any]:
    x, y, width, height = entry["bbox"]
    points = np.stack(
        [x + rng.uniform(0, width, JOINTS), y + rng.uniform(0, height, JOINTS), rng.integers(0, 3, JOINTS)], 1
    ).round(1)
    points[0, 2] = 2
    joints = {"keypoints": points.ravel().tolist(), "num_keypoints": int((points[:, 2] > 0).sum())}
    return entry | {"category_id": 1} | joints


def _write_panoptic(path: Path, objects: list[dict[str, Any]], image: int, rng: np.random.Generator) -> dict[str, Any]:
    ids: NDArray[np.int32] = np.full((HEIGHT, WIDTH), 7_000_001, dtype=np.int32)
    ids[: int(rng.integers(60, 300))] = 9_000_001
    infos = {7_000_001: CLASSES + int(rng.integers(STUFF)) + 1, 9_000_001: CLASSES + int(rng.integers(STUFF)) + 1}
    for number, entry in enumerate(objects):
        x, y, width, height = entry["bbox"]
        rows, columns = np.mgrid[int(y) : int(y + height), int(x) : int(x + width)]
        inside = ((columns - x - width / 2) / (width / 2)) ** 2 + ((rows - y - height / 2) / (height / 2)) ** 2 <= 1
        ids[rows[inside], columns[inside]] = 1_000_003 * (number + 1) % 2**24
        infos[1_000_003 * (number + 1) % 2**24] = entry["category_id"]
    Image.fromarray(id2rgb(ids)).save(path)
    present = set(np.unique(ids).tolist())
    segments = [{"id": i, "category_id": c, "iscrowd": 0, "area": 1} for i, c in infos.items() if i in present]
    return {"image_id": image, "file_name": path.name, "segments_info": segments}
