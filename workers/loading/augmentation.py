"""Random views of training images, as a recipe sets them. A view depends on seed, step and image, on nothing else."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator
from itertools import count

from workers.messages.recipe import Recipe
from workers.targets.frame import Frame, Size
from workers.targets.view import Colours, View

_MAX_DETAIL = 2.0  # examples are kept at most this much larger than the input, for sharp crops
_SLACK = 1.5  # see Frame, on a GPU
_TRIES = 10  # for a crop of a random area and aspect ratio that fits, as in torchvision's RandomResizedCrop


def frame_of(recipe: Recipe, *, training: bool, centred: bool = False) -> Frame:
    """Return the frame of a recipe's inputs. centred: examples are crops around what they show, with a margin."""
    detail = 1.0
    if training and recipe.scale_range is not None:
        detail = max(1.0, recipe.scale_range[1])
    if training and recipe.crop_area is not None:
        detail = max(detail, 1 / math.sqrt(recipe.crop_area[0]))
    if training and centred and recipe.rotation:
        detail *= 1.25  # so that most corners of a turned window are inside
    if not training and recipe.eval_crop is not None:
        detail = 1 / recipe.eval_crop
    # Crops around what they show have the input's ratio anyway.
    keep_ratio = not centred and (recipe.keep_ratio or (not training and recipe.cover and recipe.eval_crop is None))
    cover = not centred and recipe.cover and (training or recipe.eval_crop is not None)
    size = recipe.input_size if training else recipe.eval_size or recipe.input_size
    return Frame(size, keep_ratio, min(detail, _MAX_DETAIL), _SLACK if recipe.gpus else 1.0, cover)


def whole_view(frame: Frame, stored: Size, kept: Size, *, upright: bool, centred: bool) -> View:
    """Return the view of a whole image, or with `cover` of its centre, as it is evaluated. See `draw_view`."""
    if centred and frame.detail > 1:  # without the margin
        height, width = frame.size
        window = ((kept[0] - height) // 2, (kept[1] - width) // 2, height, width)
        return View(kept, frame.size, frame.size, window)
    if frame.cover:
        content = frame.content(stored, upright)
        height, width = (
            max(1, min(k, round(side * k / (c * frame.detail))))
            for side, k, c in zip(frame.size, kept, content, strict=True)
        )
        return View(kept, frame.size, frame.size, ((kept[0] - height) // 2, (kept[1] - width) // 2, height, width))
    return View(kept, frame.content(stored, upright), frame.canvas(upright))


def draws(seed: int, step: int, index: int) -> Iterator[float]:
    """Yield the random numbers of one image in one step, uniform in [0, 1)."""
    # A hash takes 2 µs; a random generator for each image would take as long as all else that a small image needs.
    for block in count():
        digest = hashlib.blake2b(struct.pack("<4Q", seed, step, index, block)).digest()
        yield from (number / 2**32 for number in struct.unpack("<16I", digest))


def draw_view(
    recipe: Recipe,
    frame: Frame,
    stored: Size,
    kept: Size,
    draw: Iterator[float],
    *,
    crop: bool,
    upright: bool,
    centred: bool,
) -> View:
    """Draw the view of one image.

    stored, kept: (height, width) of the stored image and of the example. draw: see `draws`. crop: whether the recipe's
    `zoom` applies. upright: whether the batch is of upright images. centred: see `frame_of`.
    """
    # In this order, so that a field of the recipe changes nothing but what it is for.
    mirrored = next(draw) < recipe.flip
    angle = recipe.rotation * (2 * next(draw) - 1)
    colours = _draw_colours(recipe.colour_jitter, draw)
    content, canvas = frame.content(stored, upright), frame.canvas(upright)
    window: tuple[int, int, int, int] | None = None
    if centred and frame.detail > 1:
        content, window = frame.size, _scaled_window(recipe, frame, kept, draw)
    elif recipe.crop_area is not None:
        window = _random_resized_crop(recipe, kept, draw)
        content = canvas
    elif recipe.scale_range is not None or recipe.cover:
        content, window = _jittered(recipe.scale_range or (1.0, 1.0), content, canvas, kept, draw)
    elif crop:
        window = _zoomed(recipe.zoom, kept, draw)
    return View(kept, content, canvas, window, mirrored, angle, colours)


def _between(low: float, high: float, draw: Iterator[float]) -> float:
    return low + (high - low) * next(draw)


def _draw_colours(strength: float, draw: Iterator[float]) -> Colours | None:
    """Draw a photometric distortion; at strength 1 as large as that of SSD (Liu et al., ECCV 2016)."""
    brightness, contrast, saturation, hue = (2 * next(draw) - 1 for _ in range(4))
    if not strength:
        return None
    return Colours(
        1 + 0.25 * strength * brightness,
        1 + 0.5 * strength * contrast,
        1 + 0.5 * strength * saturation,
        0.05 * strength * hue,
    )


def _scaled_window(recipe: Recipe, frame: Frame, kept: Size, draw: Iterator[float]) -> tuple[int, int, int, int]:
    """Return a window around the middle: the input's, times a random factor."""
    factor = _between(*(recipe.scale_range or (1.0, 1.0)), draw)
    height, width = (max(1, round(side * factor)) for side in frame.size)
    return round((kept[0] - height) / 2), round((kept[1] - width) / 2), height, width


def _random_resized_crop(recipe: Recipe, kept: Size, draw: Iterator[float]) -> tuple[int, int, int, int]:
    """Return a window of a random area and aspect ratio (Szegedy et al., Going deeper with convolutions, CVPR 2015)."""
    assert recipe.crop_area is not None
    narrow, wide = (math.log(aspect) for aspect in recipe.crop_aspect)
    for _ in range(_TRIES):
        area = kept[0] * kept[1] * _between(*recipe.crop_area, draw)
        aspect = math.exp(_between(narrow, wide, draw))
        height, width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < height <= kept[0] and 0 < width <= kept[1]:
            return _placed((height, width), kept, draw)
    return 0, 0, *kept


def _jittered(
    scales: tuple[float, float], content: Size, canvas: Size, kept: Size, draw: Iterator[float]
) -> tuple[Size, tuple[int, int, int, int]]:
    """Scale the image by a random factor, then crop what exceeds the canvas; what is missing is padded."""
    factor = _between(*scales, draw)
    scaled = [max(1, round(side * factor)) for side in content]
    seen = min(scaled[0], canvas[0]), min(scaled[1], canvas[1])
    height, width = (max(1, round(k * v / s)) for k, v, s in zip(kept, seen, scaled, strict=True))
    return seen, _placed((height, width), kept, draw)


def _zoomed(smallest: float, kept: Size, draw: Iterator[float]) -> tuple[int, int, int, int]:
    """Return a window with the aspect ratio of the image, whose sides are a share of its sides from `smallest` to 1."""
    share = _between(smallest, 1, draw)
    return _placed((max(1, round(share * kept[0])), max(1, round(share * kept[1]))), kept, draw)


def _placed(size: Size, kept: Size, draw: Iterator[float]) -> tuple[int, int, int, int]:
    top, left = (int(next(draw) * (k - s + 1)) for s, k in zip(size, kept, strict=True))
    return top, left, *size
