"""`shapes`: procedural scenes with annotations for all six tasks, drawn on demand and equal on every machine.

An object's colour and texture are independent of its class, so a network has to recognise outlines despite occlusion,
noise and a textured background: capacity and receptive field matter. For classification the image is a close-up of the
object in front, since a network cannot learn to classify whole scenes in a minute of training.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from predictor.plain_numbers import plain_int
from workers.data.base import DataSet, Instance, Sample, Vocabulary, register_format, unsupported
from workers.data.shape_outlines import JOINTS, LIMBS, THINGS, Points, outline, pose
from workers.errors import DataError

STUFF = ("plain", "stripes", "checks")
_VERSION = 1  # increase it with every change of the scenes
_FIGURE = THINGS.index("figure")
_MIN_VISIBLE = 0.3  # objects with a smaller visible share are not annotated, and their pixels are void
# Probabilities of STUFF textures on objects. Mostly plain: otherwise a small network cannot learn outlines in a minute.
_THING_TEXTURES = (0.8, 0.1, 0.1)
_SPLITS = {"train": 0, "held-out": 1}
_CLOSE_UP, _OFF_CENTRE = 1.5, 0.12  # side of a close-up relative to its object; maximal offset relative to that side

Mask = NDArray[np.bool_]
DrawnObject = tuple[int, Mask, Points | None]  # class, mask without occlusion, joints of a figure


def _texture(rng: np.random.Generator, kind: int, pixels: tuple[Points, Points]) -> Points:
    """Return (P, 3) colours, 0..255, at the pixels' y and x: two colours in a pattern of random angle and period."""
    y, x = pixels
    dark, light = rng.uniform(20, 235, (2, 3))
    angle, period = rng.uniform(0, np.pi), rng.uniform(5, 12)
    u = (x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / period)
    phase = rng.uniform(0, 2 * np.pi)
    if kind == 0:
        mix = 0.5 + 0.15 * np.sin(u / 6 + phase)
    elif kind == 1:
        mix = 0.5 + 0.5 * np.sin(u + phase)
    else:
        v = (y * np.cos(angle) - x * np.sin(angle)) * (2 * np.pi / period)
        mix = (np.sin(u + phase) * np.sin(v) > 0).astype(np.float64)
    mixed: Points = dark + mix[..., None] * (light - dark)
    return mixed


def _fill(points: Points, size: tuple[int, int], hole: Points | None = None) -> Mask:
    canvas = Image.new("1", (size[1], size[0]))
    pen = ImageDraw.Draw(canvas)
    pen.polygon([(float(px), float(py)) for px, py in points], fill=1)
    if hole is not None:
        pen.polygon([(float(px), float(py)) for px, py in hole], fill=0)
    return np.array(canvas, dtype=np.bool_)


def _draw_figure(joints: Points, scale: float, size: tuple[int, int]) -> Mask:
    canvas = Image.new("1", (size[1], size[0]))
    pen = ImageDraw.Draw(canvas)
    width = max(2, round(scale * 0.2))
    spots = [(float(px), float(py)) for px, py in joints]
    for a, b in LIMBS:
        pen.line([spots[a], spots[b]], fill=1, width=width)
    pen.polygon([spots[i] for i in (2, 3, 9, 8)], fill=1)
    cx, cy = (joints[12] + joints[13]) / 2
    radius = scale * 0.22
    pen.ellipse([cx - radius, cy - radius, cx + radius, cy + radius], fill=1)
    return np.array(canvas, dtype=np.bool_)


class Shapes(DataSet):
    """Scenes of 96 x 128 pixels: two or three kinds of stuff as background, three to six objects of seven classes."""

    def __init__(self, seed: int = 0, train: int = 1024, held_out: int = 384, *, close_up: bool = False) -> None:
        """Create the data set. close_up: show only a square around the object in front, annotated with its class."""
        self.spec, self.seed, self._close_up = "shapes", seed, close_up
        self.height, self.width = 96, 128
        self._sizes = {"train": train, "held-out": held_out}
        ys, xs = np.mgrid[: self.height, : self.width]
        self._grid = (ys.astype(np.float64), xs.astype(np.float64))

    def check(self, task: str) -> None:
        """Accept all six tasks."""
        self.classes(task)

    def classes(self, task: str) -> tuple[str, ...]:
        """Return things for cls, det, iseg; things and stuff for seg, pano; the figure for pose."""
        match task:
            case "cls" | "det" | "iseg":
                return THINGS
            case "seg" | "pano":
                return THINGS + STUFF
            case "pose":
                return ("figure",)
        raise unsupported(self.spec, task, "it supports cls, det, iseg, seg, pano and pose")

    def vocabulary(self, task: str) -> Vocabulary:
        """Return up to seven things, three kinds of stuff, and fourteen joints for pose."""
        classes = self.classes(task)
        return Vocabulary(classes, min(len(THINGS), len(classes)), JOINTS if task == "pose" else ())

    def fingerprint(self) -> str:
        """Return the hash of the parameters and of some scenes, so that it changes if the drawing does."""
        digest = hashlib.sha256(f"{_VERSION} {self.seed} {sorted(self._sizes.items())}".encode())
        for split, size in self._sizes.items():
            for index in (0, size // 2, size - 1):
                sample = self.sample(split, index)
                digest.update(sample.image.tobytes())
                if sample.panoptic is not None:
                    digest.update(sample.panoptic.tobytes())
        return digest.hexdigest()[:16]

    def size(self, split: str) -> int:
        """Return the number of scenes."""
        return self._sizes[split]

    def sample(self, split: str, index: int) -> Sample:
        """Draw a scene. It depends only on seed, split and index."""
        self.require_index(split, index)
        rng = np.random.Generator(np.random.PCG64([_VERSION, self.seed, _SPLITS[split], index]))
        canvas, stuff = self._draw_background(rng)
        drawn = self._draw_objects(rng, canvas)
        image = self._add_light_and_noise(rng, canvas)
        scene = self._annotate(image, stuff, drawn)
        return _front_object(rng, scene) if self._close_up else scene

    def _draw_background(self, rng: np.random.Generator) -> tuple[Points, NDArray[np.int64]]:
        """Return image and stuff class of two or three bands with wavy borders."""
        y, x = self._grid
        canvas = np.zeros((self.height, self.width, 3))
        stuff = np.zeros((self.height, self.width), dtype=np.int64)
        kinds = rng.permutation(len(STUFF))[: rng.integers(2, 4)]
        tilt, wave = rng.uniform(-0.3, 0.3), rng.uniform(2, 6)
        height = y + tilt * (x - self.width / 2) + wave * np.sin(x / rng.uniform(8, 20) + rng.uniform(0, 6))
        for band, kind in enumerate(kinds):
            mask = height >= band * self.height / len(kinds) if band else np.ones_like(height, dtype=np.bool_)
            self._paint(rng, canvas, mask, int(kind))
            stuff[mask] = kind
        return canvas, stuff

    def _paint(self, rng: np.random.Generator, canvas: Points, mask: Mask, kind: int) -> None:
        """Fill the pixels of a mask with a texture."""
        pixels = np.flatnonzero(mask)  # faster than the mask itself, which three arrays would search
        y, x = (axis.ravel()[pixels] for axis in self._grid)
        canvas.reshape(-1, 3)[pixels] = _texture(rng, kind, (y, x))

    def _draw_objects(self, rng: np.random.Generator, canvas: Points) -> list[DrawnObject]:
        """Draw objects from back to front. The last is the largest, and its class is the class of the image."""
        drawn: list[DrawnObject] = []
        count = int(rng.integers(3, 7))
        for number in range(count):
            main = number == count - 1
            category = int(rng.integers(len(THINGS)))
            scale = rng.uniform(22, 32) if main else rng.uniform(9, 20)
            margin = scale * 0.8
            centre = np.array([rng.uniform(margin, self.width - margin), rng.uniform(margin, self.height - margin)])
            mask, joints = self._draw_object(rng, category, scale, centre)
            kind = int(rng.choice(len(STUFF), p=_THING_TEXTURES))
            self._paint(rng, canvas, mask, kind)
            drawn.append((category, mask, joints))
        return drawn

    def _draw_object(
        self, rng: np.random.Generator, category: int, scale: float, centre: Points
    ) -> tuple[Mask, Points | None]:
        """Return the mask of an object, and its joints if it is a figure."""
        size = (self.height, self.width)
        figure = category == _FIGURE
        angle = rng.uniform(-0.35, 0.35) if figure else rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        if figure:
            joints = pose(rng) @ turn * scale + centre
            return _draw_figure(joints, scale, size), joints
        squeeze = np.array([1.0, rng.uniform(0.75, 1.0)])
        points = outline(THINGS[category]) * squeeze @ turn * scale + centre
        hole = (points - centre) * 0.55 + centre if THINGS[category] == "ring" else None
        return _fill(points, size, hole), None

    def _add_light_and_noise(self, rng: np.random.Generator, canvas: Points) -> NDArray[np.uint8]:
        """Add light from one side, then noise."""
        y, x = self._grid
        angle = rng.uniform(0, 2 * np.pi)
        slope = (x / self.width - 0.5) * np.cos(angle) + (y / self.height - 0.5) * np.sin(angle)
        lit = canvas * (1 + 0.5 * slope)[..., None] + rng.normal(0, rng.uniform(2, 8), canvas.shape)
        pixels: NDArray[np.uint8] = np.clip(lit, 0, 255).astype(np.uint8)
        return pixels

    def _annotate(self, image: NDArray[np.uint8], stuff: NDArray[np.int64], drawn: list[DrawnObject]) -> Sample:
        semantic = (stuff + len(THINGS)).astype(np.uint8)
        panoptic = (semantic.astype(np.int32)) * 1000
        hidden = np.zeros(stuff.shape, dtype=np.bool_)
        instances: list[Instance] = []
        for category, mask, joints in reversed(drawn):  # front to back
            visible = mask & ~hidden
            hidden |= mask
            if visible.sum() < max(20, _MIN_VISIBLE * mask.sum()):
                semantic[visible], panoptic[visible] = 255, -1
                continue
            semantic[visible] = category
            panoptic[visible] = category * 1000 + len(instances) + 1
            instances.append(Instance(category, visible, _box(visible), _annotate_joints(joints, visible)))
        return Sample(image, drawn[-1][0], semantic, panoptic, tuple(instances))


def _front_object(rng: np.random.Generator, scene: Sample) -> Sample:
    """Crop a square around the object in front, with a small random offset, inside the scene."""
    x0, y0, x1, y1 = scene.instances[0].box
    side = min(*scene.image.shape[:2], round(_CLOSE_UP * max(x1 - x0, y1 - y0)))
    offsets = rng.uniform(-_OFF_CENTRE, _OFF_CENTRE, 2) * side - side / 2
    limits = [n - side for n in scene.image.shape[:2]]
    top, left = (
        round(min(max(centre + offset, 0), limit))
        for centre, offset, limit in zip(((y0 + y1) / 2, (x0 + x1) / 2), offsets, limits, strict=True)
    )
    return Sample(scene.image[top : top + side, left : left + side], scene.category)


def _box(mask: Mask) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _annotate_joints(joints: Points | None, visible: Mask) -> NDArray[np.float32] | None:
    """Return (14, 3) x, y, visibility: 2 where the figure is visible, 1 where it is hidden, 0 outside the image."""
    if joints is None:
        return None
    height, width = visible.shape
    annotated = np.zeros((len(joints), 3), dtype=np.float32)
    for i, (px, py) in enumerate(joints):
        column, row = round(float(px)), round(float(py))
        if 0 <= column < width and 0 <= row < height:
            near = visible[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
            annotated[i] = px, py, 2 if near.any() else 1
    return annotated


@register_format("shapes")
def _open(location: str, task: str) -> DataSet:
    """Open `shapes`, or `shapes:KEY=NUMBER,...` with the keys seed, train and held_out."""
    options: dict[str, int] = {}
    for option in filter(None, location.split(",")):
        key, _, value = option.partition("=")
        try:
            if key not in {"seed", "train", "held_out"}:
                raise ValueError(f"{key} is no option")
            options[key] = plain_int(value, least=0)
        except ValueError:
            raise DataError(f"data 'shapes:{location}': '{option}' is not one of seed=N, train=N, held_out=N") from None
    if min(options.get("train", 1), options.get("held_out", 1)) < 1:
        raise DataError(f"data 'shapes:{location}': a split would be empty: ask for at least one image")
    data = Shapes(**options, close_up=task == "cls")
    data.spec = f"shapes:{location}" if location else "shapes"
    return data
