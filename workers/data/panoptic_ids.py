"""Convert segment ids to colours and back, as COCO stores panoptic maps in PNGs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def rgb2id(colour: NDArray[Any]) -> NDArray[np.int32]:
    """Convert (H, W, 3) colours to (H, W) ids: R + 256 G + 65536 B."""
    c = np.asarray(colour)
    if c.dtype != np.uint8 or c.size < 6 or not c.flags.c_contiguous:
        c = c.astype(np.int32)
        ids: NDArray[np.int32] = c[..., 0] + 256 * c[..., 1] + 65536 * c[..., 2]
        return ids
    # Read four bytes at every third: the three of a pixel, and one of the next, which is masked out.
    count = c.size // 3
    flat = np.empty(count, dtype=np.int32)
    np.bitwise_and(np.ndarray((count - 1,), "<i4", c, 0, (3,)), 0xFFFFFF, out=flat[:-1])
    flat[-1] = rgb2id(c.reshape(-1, 3)[-1:])[0]
    return flat.reshape(c.shape[:-1])


def id2rgb(ids: Any) -> Any:
    """Convert an array of ids to colours with a last axis of three, or a single id to a list of three numbers."""
    if isinstance(ids, np.ndarray):
        return np.stack([ids % 256, ids // 256 % 256, ids // 65536 % 256], axis=-1).astype(np.uint8)
    return [ids % 256, ids // 256 % 256, ids // 65536 % 256]
