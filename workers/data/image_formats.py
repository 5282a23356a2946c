"""Which files are images: all that Pillow reads, for every data format alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath

from PIL import Image

# Pillow knows these by name, but needs another program or plugin to decode them.
_NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}

IMAGE_SUFFIXES = frozenset(
    suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN and kind not in _NOT_DECODED
)
JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})  # eight bits, no transparency


def describe_files(kind: str, names: Iterable[str]) -> str:
    """Return their number by suffix, and the first: '3 files that ... (.heic 2, .txt 1; first: a.heic)'.

    kind: follows the number, such as 'files that are no images'. names: at least one.
    """
    files = sorted(names)
    counts = Counter(PurePath(name).suffix.lower() or "no suffix" for name in files)
    suffixes = ", ".join(f"{suffix} {count}" for suffix, count in counts.most_common(5))
    return f"{len(files)} {kind} ({suffixes}; first: {files[0]})"
