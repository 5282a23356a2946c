"""List, verify, decode and hash image files. All errors are DataError, one line each."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image
from torchvision.io import ImageReadMode
from torchvision.io import decode_image as torchvision_decode

from predictor.errors import one_line
from workers.data.image_formats import IMAGE_SUFFIXES
from workers.data.jpeg_stream import breaks_off, find_end
from workers.data.orientation import SWAPPED, turn_back, turn_pixels
from workers.data.png_stream import plain_png
from workers.errors import DataError

# All that Pillow raises for a damaged file.
DECODE_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError),
    *(LookupError, TypeError, ArithmeticError, AttributeError),  # of tags that are missing or of another type
)
FULL_DEPTH = 16  # bits of a channel that has more than eight
_MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 2**27)  # more are refused by Pillow as a decompression bomb


def open_folder(name: str, location: str, layout: str) -> Path:
    """Return the absolute folder of `name:location`. layout: what it should hold, for the error message."""
    if not location:
        raise DataError(f"data '{name}:' names no folder: write {name}:DIR, where DIR holds {layout}")
    try:
        folder = Path(location).expanduser().resolve()
        require_folder(folder, layout)
    except (OSError, ValueError, RuntimeError) as error:  # too long a name, characters that no name has, no such user
        raise DataError(f"data '{name}:{location}': {one_line(error)}: give a folder that holds {layout}") from None
    return folder


def require_folder(folder: Path, layout: str) -> None:
    """Raise DataError unless `folder` is an existing folder. layout: what it should hold."""
    if not folder.exists():
        raise DataError(f"{folder} does not exist: give a folder that holds {layout}")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file: give a folder that holds {layout}")


def list_files(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[Path]:
    """List the files with these suffixes, upper or lower case, by name; without hidden files and subfolders."""
    return sorted(path for path in _entries(folder) if path.suffix.lower() in suffixes and path.is_file())


def list_left_out(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[str]:
    """List the names that `list_files` leaves out: other suffixes, links to nothing and subfolders; no hidden ones."""
    return sorted(path.name for path in _entries(folder) if path.suffix.lower() not in suffixes or not path.is_file())


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


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Size and orientation from the header of an image file. stored: (width, height) of the pixels in the file.

    orientation: the EXIF number that says how viewers turn the image; 1 if they show it as stored.
    """

    stored: tuple[int, int]
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as viewers show the image."""
        return (self.stored[1], self.stored[0]) if self.orientation in SWAPPED else self.stored


class _BoundedReader(io.BufferedReader):
    """A file that never allocates more for a read than there is: a damaged image may announce gigabytes."""

    def read(self, size: int | None = -1) -> bytes:
        """See `io.BufferedReader.read`."""
        left = os.fstat(self.fileno()).st_size - self.tell()
        return super().read(size if size is None or size < 0 else min(size, max(0, left)))


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open an image file with Pillow, which may raise `DECODE_ERRORS`."""
    with _BoundedReader(io.FileIO(path)) as file, Image.open(file) as image:
        yield image


def read_header(path: Path) -> ImageHeader:
    """Read the header of an image file; its pixels are not checked. Raises DataError."""
    try:
        with open_image(path) as image:
            return _header(image)
    except DECODE_ERRORS as error:
        raise unreadable(path) from error


def verify_image(path: Path) -> ImageHeader:
    """Return the header, after looking for missing pixels: of JPEGs at an eighth of the size. Raises DataError."""
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            header, kind = _header(image), image.format
            image.verify()  # the checksums of a PNG
        # Of JPEGs and PNGs, it is known without decoding that pixels can be decoded, except of a JPEG without an end.
        if kind not in ("JPEG", "MPO", "PNG") or (kind != "PNG" and find_end(content) is None):
            _decode_by_pillow(content, False, FULL_DEPTH)
        elif kind != "PNG" and breaks_off(content):
            raise unreadable(path)
    except DECODE_ERRORS as error:
        raise unreadable(path) from error
    return header


def _header(image: Image.Image) -> ImageHeader:
    """Return the header of an opened image that is not loaded yet."""
    orientation = exif_orientation(image)
    width, height = image.size
    turned = _turned_by_pillow(image) and orientation in SWAPPED
    return ImageHeader((height, width) if turned else (width, height), orientation)


def _turned_by_pillow(image: Image.Image) -> bool:
    """Return whether Pillow itself turns the pixels when it loads them."""
    return image.format == "TIFF"


def exif_orientation(image: Image.Image) -> int:
    """Return the EXIF number of an image that is not loaded yet."""
    if _turned_by_pillow(image):
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    else:
        raw = image.info.get("exif")  # `getexif` would decode a PNG
        if not raw:
            return 1
        exif = Image.Exif()
        exif.load(raw)
        orientation = exif.get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(1, 9) else 1


def read_png_header(path: Path) -> tuple[int, int]:
    """Return bits per channel and colour type of a PNG.

    Raises DataError for a file of another kind and OSError for a missing file.
    """
    with path.open("rb") as file:
        header = file.read(26)
    if len(header) < 26 or not header.startswith(b"\x89PNG"):
        raise unreadable(path)
    return header[24], header[25]


def decode_image(path: Path, *, upright: bool = True, bits: int = FULL_DEPTH) -> NDArray[np.uint8]:
    """Return (H, W, 3) RGB pixels for any colour mode of the file; transparency is ignored.

    upright: as viewers show the image, else as stored. bits: how many bits of a deep image's channels are used, see
    `deep_images.bits_in_use`. Raises DataError.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path) from error
    pixels = None
    try:
        if _torchvision_knows(content):
            pixels = _decode_by_torchvision(content, upright)
        elif _is_deep_png(content):
            deep = scale_deep(_decode_deep_png(content), bits)
            pixels = turn_pixels(deep, _png_orientation(content)) if upright else deep
    except (RuntimeError, *DECODE_ERRORS):
        pass  # torchvision's messages name no file, and what it refuses Pillow may read
    try:
        if pixels is None:
            pixels = _decode_by_pillow(content, upright, bits)
        if content.startswith(b"\xff\xd8") and breaks_off(content, pixels):
            raise unreadable(path)
    except DECODE_ERRORS as error:
        raise unreadable(path) from error
    return pixels


def _decode_by_pillow(content: bytes, upright: bool, bits: int) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as image:
        orientation, turned = exif_orientation(image), _turned_by_pillow(image)
        decoded = _to_rgb(image, bits)
    if turned:
        return decoded if upright else turn_back(decoded, orientation)
    return turn_pixels(decoded, orientation) if upright else decoded


def _decode_by_torchvision(content: bytes, upright: bool, mode: ImageReadMode = ImageReadMode.RGB) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given buffer is not writable", UserWarning)  # and nobody writes it
        data = torch.frombuffer(content, dtype=torch.uint8)
        # Since 0.29 it recommends TorchCodec, which mmdet's releases of torch and torchvision do not come with.
        warnings.filterwarnings("ignore", "The image decoding and encoding", DeprecationWarning)
        decoded = torchvision_decode(data, mode, apply_exif_orientation=upright)
    pixels: NDArray[Any] = decoded.permute(1, 2, 0).numpy()
    return pixels


def _is_deep_png(content: bytes) -> bool:
    """Return whether this is a PNG of 16 bits without a palette, which Pillow reads only if it is grey."""
    if not content.startswith(b"\x89PNG") or len(content) < 26 or content[24] != 16:
        return False
    width, height = struct.unpack(">2I", content[16:24])
    return bool(width * height <= _MAX_PIXELS)


def _png_orientation(content: bytes) -> int:
    with Image.open(io.BytesIO(content)) as image:
        return exif_orientation(image)


def _decode_deep_png(content: bytes) -> NDArray[np.uint16]:
    """Return (H, W, 3) values as stored, without transparency. Raises RuntimeError if some are missing."""
    if (plain := plain_png(content)) is None:
        raise RuntimeError("torchvision would end this process")
    pixels = _decode_by_torchvision(plain, False, ImageReadMode.UNCHANGED)
    if pixels.dtype != np.uint16:
        raise RuntimeError("torchvision has converted the image")
    return pixels[..., :3] if pixels.shape[2] > 2 else np.repeat(pixels[..., :1], 3, axis=2)


def read_deep(path: Path) -> NDArray[np.int64] | None:
    """Return the values of an image of more than eight bits a channel, None for any other. Raises DataError."""
    try:
        with open_image(path) as image:
            if image.format != "PNG":
                return np.array(image).astype(np.int64) if image.mode.startswith("I") else None
        content = path.read_bytes()
        return _decode_deep_png(content).astype(np.int64) if _is_deep_png(content) else None
    except (*DECODE_ERRORS, RuntimeError) as error:
        raise unreadable(path) from error


def scale_deep(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Return the upper eight of `bits` bits."""
    scaled: NDArray[np.uint8] = (values.astype(np.int64) >> (bits - 8)).clip(0, 255).astype(np.uint8)
    return scaled


def _torchvision_knows(content: bytes) -> bool:
    """Return whether torchvision decodes an image to the same colours as Pillow, in less time.

    These are grey and colour JPEGs, but not CMYK. Pillow refuses huge images, which torchvision would allocate memory
    for. PNGs take the same time, and a damaged one ends the process in torchvision.
    """
    if not content.startswith(b"\xff\xd8"):
        return False
    components, pixels = _read_jpeg_frame(content)
    return components in (1, 3) and pixels <= _MAX_PIXELS


def _read_jpeg_frame(content: bytes) -> tuple[int, int]:
    """Return the numbers of colours and of pixels, by the first frame header; other segments may hold a thumbnail."""
    start = 2
    while start + 9 < len(content) and content[start] == 0xFF:
        marker = content[start + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">2H", content[start + 5 : start + 9])
            return content[start + 9], height * width
        start += 1 if marker == 0xFF else 2 + int.from_bytes(content[start + 2 : start + 4], "big")
    return 0, 0


def _to_rgb(image: Image.Image, bits: int) -> NDArray[np.uint8]:
    """Convert to RGB. Deep grey keeps the upper eight of its bits, which Pillow would clip; transparency is dropped."""
    if image.mode.startswith("I"):
        return np.repeat(scale_deep(np.array(image), bits)[..., None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
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
