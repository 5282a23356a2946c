"""List, verify, decode and hash image files. All errors are DataError, one line each."""

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

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
# All that Pillow raises for a damaged file.
DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
_END_OF_JPEG = b"\xff\xd9"


def open_folder(name: str, location: str, layout: str) -> Path:
    """Return the absolute folder of `name:location`. layout: what it should hold, for the error message."""
    if not location:
        raise DataError(f"data '{name}:' names no folder: write {name}:DIR, where DIR holds {layout}")
    folder = Path(location).expanduser().resolve()
    require_folder(folder, layout)
    return folder


def require_folder(folder: Path, layout: str) -> None:
    """Raise DataError unless `folder` is an existing folder. layout: what it should hold."""
    if not folder.exists():
        raise DataError(f"{folder} does not exist: give a folder that holds {layout}")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file: give a folder that holds {layout}")


def list_files(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[Path]:
    """List the files with these suffixes, upper or lower case, by name; without hidden files and subfolders."""
    return sorted(path for path in _entries(folder) if path.suffix.lower() in suffixes and path.is_file())


def list_folders(folder: Path) -> list[Path]:
    """List the subfolders that are not hidden, by name."""
    return sorted(path for path in _entries(folder) if path.is_dir())


def _entries(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: check that it is a folder you may read") from error


def unreadable(path: Path) -> DataError:
    """Build the error for an image file that cannot be decoded."""
    return DataError(f"{path} is not a readable image or is truncated: replace or remove it")


def verify_image(path: Path) -> tuple[int, int]:
    """Return width and height from the header. Decodes the pixels only if the file seems to be truncated."""
    try:
        with Image.open(path) as image:
            size, jpeg = image.size, image.format == "JPEG"
            image.verify()
        if jpeg and not _ends_with(path, _END_OF_JPEG):  # truncated, or followed by harmless bytes
            with Image.open(path) as image:
                image.load()
    except DECODE_ERRORS as error:
        raise unreadable(path) from error
    return size


def _ends_with(path: Path, ending: bytes) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(ending)))
        return file.read() == ending


def read_png_header(path: Path) -> tuple[int, int]:
    """Return bits per channel and colour type of a PNG.

    Raises DataError for a file of another kind and OSError for a missing file.
    """
    with path.open("rb") as file:
        header = file.read(26)
    if len(header) < 26 or not header.startswith(b"\x89PNG"):
        raise unreadable(path)
    return header[24], header[25]


def decode_image(path: Path) -> NDArray[np.uint8]:
    """Return (H, W, 3) RGB pixels for any colour mode of the file."""
    try:
        with Image.open(path) as image:
            return _to_rgb(image)
    except DECODE_ERRORS as error:
        raise unreadable(path) from error


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Convert to RGB. 16-bit grey keeps its upper eight bits, which Pillow would clip; transparency becomes white."""
    if image.mode.startswith("I"):
        grey = (np.array(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.array(image.convert("RGB"), dtype=np.uint8)


def hash_files(root: Path, files: Iterable[Path]) -> str:
    """Return 16 hexadecimal digits of a hash of the files' paths relative to `root` and their bytes."""
    digest = hashlib.sha256()
    for file in sorted(files):
        try:
            content = hashlib.sha256(file.read_bytes()).digest()
        except OSError as error:
            raise DataError(f"{file} cannot be read: restore it or check its permissions") from error
        digest.update(file.relative_to(root).as_posix().encode("utf-8", "surrogateescape") + b"\0" + content)
    return digest.hexdigest()[:16]
