"""Pictures of predictions that `label --save-images` kept in the store."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from orchestrator.report.blocks import Picture
from orchestrator.report.comparable import LabelledNetwork

_EACH = 2  # pictures of one label
_NETWORK = 4  # pictures of one network
MAX_PICTURES = 32
_MAX_BYTES = 2_000_000  # of all pictures
_MAX_SIDE = 480  # pixels
_QUALITY = 85


class PictureAllowance:
    """Reads pictures until a number or a size is reached. folder: of the store's pictures; None if it has none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder if folder is not None and folder.is_dir() else None
        self._pictures, self._bytes = MAX_PICTURES, _MAX_BYTES

    def pictures_of(self, network: LabelledNetwork, labels: Sequence[Mapping[str, Any]]) -> tuple[Picture, ...]:
        """Return pictures of a network's predictions. labels: its rows. Files that are no pictures are left out."""
        found = list[Picture]()
        for label in labels if self._folder else ():
            for number, path in enumerate(self._files(label)):
                if len(found) == _NETWORK or not self._pictures:
                    return tuple(found)
                small = _small_jpeg(path)
                if small is None:
                    continue
                content, size = small
                if len(content) > self._bytes:
                    self._pictures = 0
                    return tuple(found)
                self._pictures, self._bytes = self._pictures - 1, self._bytes - len(content)
                what = f"{label['task']}, image {number + 1}, seed {label['seed']}: annotation left, prediction right"
                found.append(
                    Picture(base64.b64encode(content).decode(), *size, f"{what} (network {network.architecture})")
                )
        return tuple(found)

    def _files(self, label: Mapping[str, Any]) -> list[Path]:
        assert self._folder is not None
        return sorted(self._folder.joinpath(f"{label['task']}-{label['key']}").glob("[0-9]*.png"))[:_EACH]


def _small_jpeg(path: Path) -> tuple[bytes, tuple[int, int]] | None:
    """Return the picture as JPEG, made smaller if needed, with width and height; None if the file holds none."""
    content = BytesIO()
    try:
        with Image.open(path) as picture:
            picture.thumbnail((_MAX_SIDE, _MAX_SIDE))
            size = picture.size
            picture.convert("RGB").save(content, "JPEG", quality=_QUALITY)
    except Exception:  # a damaged file makes Pillow raise many types
        return None
    return content.getvalue(), size
