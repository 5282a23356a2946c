"""Folders of image files: finding, verifying, decoding and hashing them. All errors are DataError, one line."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.errors import DataError

IMAGES = (".jpg", ".jpeg", ".png")
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
_END_OF_JPEG = b"\xff\xd9"


def open_folder(name: str, where: str, layout: str) -> Path:
    """The absolute folder behind `name:where`, which should hold `layout`."""
    if not where:
        raise DataError(f"data '{name}:' names no folder: write {name}:DIR, where DIR holds {layout}")
    folder = Path(where).expanduser().resolve()
    require_folder(folder, layout)
    return folder


def require_folder(folder: Path, layout: str) -> None:
    """Raise DataError unless `folder` is one."""
    if not folder.exists():
        raise DataError(f"{folder} does not exist: give a folder that holds {layout}")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file: give a folder that holds {layout}")


def list_files(folder: Path, suffixes: tuple[str, ...] = IMAGES) -> list[Path]:
    """Files with these endings in any case, by name; hidden ones and those in subfolders are left out."""
    return sorted(f for f in _entries(folder) if f.suffix.lower() in suffixes and f.is_file())


def list_folders(folder: Path) -> list[Path]:
    """Subfolders that are not hidden, by name."""
    return sorted(f for f in _entries(folder) if f.is_dir())


def _entries(folder: Path) -> list[Path]:
    try:
        return [f for f in folder.iterdir() if not f.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: check that it is a folder you may read") from error


def unreadable(path: Path) -> DataError:
    """The error of an image file that cannot be decoded."""
    return DataError(f"{path} is no readable image or is truncated: replace or remove it")


def verify_image(path: Path) -> tuple[int, int]:
    """Width and height from the header. Decodes the pixels only where the file seems to end early."""
    try:
        with Image.open(path) as image:
            size, jpeg = image.size, image.format == "JPEG"
            image.verify()
        if jpeg and not _ends_with(path, _END_OF_JPEG):  # cut off, or followed by something harmless
            with Image.open(path) as image:
                image.load()
    except BROKEN as error:
        raise unreadable(path) from error
    return size


def _ends_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(mark)))
        return file.read() == mark


def read_png_header(path: Path) -> tuple[int, int]:
    """Bits a channel and colour type of a PNG. Raises DataError for another file, OSError for none."""
    with path.open("rb") as file:
        header = file.read(26)
    if len(header) < 26 or not header.startswith(b"\x89PNG"):
        raise unreadable(path)
    return header[24], header[25]


def decode_image(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) pixels, whatever the mode of the file."""
    try:
        with Image.open(path) as image:
            return _to_rgb(image)
    except BROKEN as error:
        raise unreadable(path) from error


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """16-bit grey keeps its upper eight bits, where Pillow would clip; what is transparent becomes white."""
    if image.mode.startswith("I"):
        grey = (np.array(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.array(image.convert("RGB"), dtype=np.uint8)


def hash_files(root: Path, files: Iterable[Path]) -> str:
    """16 hexadecimal digits of the names below `root` and the bytes of these files."""
    digest = hashlib.sha256()
    for file in sorted(files):
        try:
            content = hashlib.sha256(file.read_bytes()).digest()
        except OSError as error:
            raise DataError(f"{file} cannot be read: restore it or check its permissions") from error
        digest.update(file.relative_to(root).as_posix().encode("utf-8", "surrogateescape") + b"\0" + content)
    return digest.hexdigest()[:16]
