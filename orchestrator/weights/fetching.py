"""Fetch published weights, or take a checkpoint from a file, and keep them as safetensors."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import WeightsError
from orchestrator.weights.catalogue import PublishedFile, find_published, is_published_name
from orchestrator.weights.download import ShowBytes, download, mirrored
from orchestrator.weights.folder import WeightsFolder
from predictor.atomic_write import replace_file

MIRROR = "AIOP_WEIGHTS_MIRROR"
_SUFFIXES = re.compile(r"\.(pth\.tar|pth|pt|bin|tar|safetensors|ckpt)$")


@dataclass(frozen=True, slots=True)
class FetchedWeights:
    """Weights that a recipe can name.

    source: URL or file. sha256: of the published or given file. entry: of the checkpoint that held the weights; empty
    if it is a plain state_dict. tensors, dropped: numbers of kept weights, and of other entries. path: of the
    safetensors file; its name ends with the fingerprint that labels have in their keys. options: with which
    `orchestrator label` uses it; empty if unknown.
    """

    source: str
    sha256: str
    entry: str
    tensors: int
    dropped: int
    path: str
    options: str


def fetch_weights(
    source: str,
    *,
    sha256: str = "",
    mirror: str = "",
    entry: str = "",
    folder: WeightsFolder | None = None,
    show: ShowBytes = lambda done, total: None,
) -> FetchedWeights:
    """Fetch the published weights `source`, unless they are here, or read the file `source`. Convert it to safetensors.

    sha256: the file must have this hash, or one that begins so. mirror: URL in place of the publisher's host;
    $AIOP_WEIGHTS_MIRROR if empty. entry: see `read_checkpoint`. show: called during a download.

    Raises WeightsError if the file cannot be fetched, is another one than expected, or cannot be converted.
    """
    folder = folder or WeightsFolder()
    if sha256 and not re.fullmatch(r"[0-9a-f]{8,64}", sha256 := sha256.lower()):
        raise WeightsError(f"--sha256 {sha256}: write 8 to 64 hexadecimal digits")
    if not is_published_name(source):
        path = Path(source)
        digest = _checked_hash(path, sha256, remove=False)
        return _converted(path, source, digest, entry, _SUFFIXES.sub("", path.name), "", folder)
    published = find_published(source)
    path = _present(published, mirror or os.environ.get(MIRROR, ""), folder, show)
    expected = sha256 or published.sha256 or folder.known_hash(published.url) or ""
    digest = _checked_hash(path, expected, remove=True)
    stem = published.name.replace(":", "-")
    try:
        fetched = _converted(path, published.url, digest, entry, stem, published.options, folder)
    except WeightsError as error:
        if expected or entry:
            raise
        _remove(path)  # without a known hash it may be any page
        raise WeightsError(f"{error}; the download was removed") from None
    folder.remember_hash(published.url, digest)
    return fetched


def _present(published: PublishedFile, mirror: str, folder: WeightsFolder, show: ShowBytes) -> Path:
    """Return the downloaded file, which a user may have copied there. Download it if it is missing."""
    path = folder.download(published.file_name)
    if path.is_file():
        return path
    remedy = (
        f"name a mirror with --mirror, or download {published.url} elsewhere, copy it to {path} and run the command "
        "again"
    )
    if published.hub is not None:
        from orchestrator.weights.hub import download_from_hub  # takes a second

        return download_from_hub(*published.hub, mirror, remedy)
    download(mirrored(published.url, mirror), path, remedy, show)
    return path


def _checked_hash(path: Path, expected: str, *, remove: bool) -> str:
    """Return the SHA-256 of a file that must begin with `expected`. remove: remove another file."""
    from orchestrator.weights.checkpoint import file_sha256

    digest = file_sha256(path)
    if not digest.startswith(expected):
        what = f"{path}: its SHA-256 is {digest}, not {expected}"
        if not remove:
            raise WeightsError(f"{what}: name the right file, or another --sha256")
        _remove(path)
        raise WeightsError(f"{what}: it was removed: fetch it again, or name the hash of a new file with --sha256")
    return digest


def _remove(path: Path) -> None:
    """Remove a download. In the hub's cache it is a link to the file."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _converted(
    path: Path, source: str, digest: str, entry: str, stem: str, options: str, folder: WeightsFolder
) -> FetchedWeights:
    """Convert a checkpoint, unless the same weights are here already. stem: beginning of the file's name."""
    from orchestrator.weights.checkpoint import read_checkpoint  # loads torch

    checkpoint = read_checkpoint(path, entry)
    content = checkpoint.to_safetensors()
    name = f"{stem}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    target = folder.converted(name)
    if not target.is_file():
        try:
            replace_file(target, content)
        except OSError as error:
            raise WeightsError(f"{target}: cannot be written ({error.strerror or error}): free space there") from None
    return FetchedWeights(
        source, digest, checkpoint.entry, len(checkpoint.tensors), checkpoint.dropped, str(target.absolute()), options
    )
