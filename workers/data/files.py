"""List, verify, decode and hash image files. All errors are DataError, one line each."""

from __future__ import annotations

import hashlib
import struct
import warnings
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image
from torchvision.io import ImageReadMode
from torchvision.io import decode_image as torchvision_decode

from workers.data.orientation import SWAPPED, turn_pixels
from workers.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
# All that Pillow raises for a damaged file.
DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
_END_OF_JPEG = b"\xff\xd9"
_MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 2**27)  # more are refused by Pillow as a decompression bomb


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


def read_header(path: Path) -> ImageHeader:
    """Read the header of an image file; its pixels are not checked. Raises DataError."""
    try:
        with Image.open(path) as image:
            return ImageHeader(image.size, _orientation(image))
    except DECODE_ERRORS as error:
        raise unreadable(path) from error


def verify_image(path: Path) -> ImageHeader:
    """Return the header. Decodes the pixels only if the file seems to be truncated. Raises DataError."""
    try:
        with Image.open(path) as image:
            header, jpeg = ImageHeader(image.size, _orientation(image)), image.format == "JPEG"
            image.verify()
        if jpeg and not _ends_with(path, _END_OF_JPEG):  # truncated, or followed by harmless bytes
            with Image.open(path) as image:
                image.load()
    except DECODE_ERRORS as error:
        raise unreadable(path) from error
    return header


def _orientation(image: Image.Image) -> int:
    raw = image.info.get("exif")  # `getexif` would decode a PNG
    if not raw:
        return 1
    exif = Image.Exif()
    exif.load(raw)
    orientation = exif.get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(1, 9) else 1


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


def decode_image(path: Path, *, upright: bool = True) -> NDArray[np.uint8]:
    """Return (H, W, 3) RGB pixels for any colour mode of the file.

    upright: as viewers show the image, else as stored. Raises DataError.
    """
    try:
        content = path.read_bytes()
        if _torchvision_knows(content):
            return _decode_by_torchvision(content, upright)
    except OSError as error:
        raise unreadable(path) from error
    except RuntimeError:
        pass  # torchvision's messages name no file, and what it refuses Pillow may read
    try:
        with Image.open(path) as image:
            decoded = _to_rgb(image)
            return turn_pixels(decoded, _orientation(image)) if upright else decoded
    except DECODE_ERRORS as error:
        raise unreadable(path) from error


def _decode_by_torchvision(content: bytes, upright: bool) -> NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given buffer is not writable", UserWarning)  # and nobody writes it
        data = torch.frombuffer(content, dtype=torch.uint8)
        # Since 0.29 it recommends TorchCodec, which mmdet's releases of torch and torchvision do not come with.
        warnings.filterwarnings("ignore", "The image decoding and encoding", DeprecationWarning)
        decoded = torchvision_decode(data, ImageReadMode.RGB, apply_exif_orientation=upright)
    pixels: NDArray[np.uint8] = decoded.permute(1, 2, 0).numpy()
    return pixels


def _torchvision_knows(content: bytes) -> bool:
    """Return whether torchvision decodes an image to the same colours as Pillow, in less time.

    These are grey and colour JPEGs, but not CMYK; and PNGs of up to eight bits without transparency. Pillow refuses
    huge images, which torchvision would allocate memory for.
    """
    if content.startswith(b"\xff\xd8"):
        components, pixels = _read_jpeg_frame(content)
        return components in (1, 3) and pixels <= _MAX_PIXELS
    if content.startswith(b"\x89PNG") and len(content) > 25:
        width, height = struct.unpack(">2I", content[16:24])
        if width * height > _MAX_PIXELS:
            return False
        return content[24] <= 8 and content[25] in (0, 2, 3) and content.find(b"tRNS", 0, content.find(b"IDAT")) < 0
    return False


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
