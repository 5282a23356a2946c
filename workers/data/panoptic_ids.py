"""Convert segment ids to colours and back, as COCO stores panoptic maps in PNGs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def rgb2id(colour: NDArray[Any]) -> NDArray[np.int32]:
    """Convert (H, W, 3) colours to (H, W) ids: R + 256 G + 65536 B."""
    c = np.asarray(colour).astype(np.int32)
    ids: NDArray[np.int32] = c[..., 0] + 256 * c[..., 1] + 65536 * c[..., 2]
    return ids


def id2rgb(ids: Any) -> Any:
    """Convert an array of ids to colours with a last axis of three, or a single id to a list of three numbers."""
    if isinstance(ids, np.ndarray):
        return np.stack([ids % 256, ids // 256 % 256, ids // 65536 % 256], axis=-1).astype(np.uint8)
    return [ids % 256, ids // 256 % 256, ids // 65536 % 256]
