"""The folder of downloaded and converted weights of this user, which outlives a restart of the machine."""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from orchestrator.errors import WeightsError
from predictor.atomic_write import replace_file
from predictor.errors import write_problem


class WeightsFolder:
    """Downloads, converted files, and the hash of each published file when it was first fetched."""

    def __init__(self, folder: Path | None = None) -> None:
        """folder: $AIOP_CACHE/weights if unset, or `aiop-orchestrator/weights` in the user's cache folder."""
        self.path = folder or _default_folder()
        self._hashes_file = self.path / "hashes.json"

    def download(self, name: str) -> Path:
        """Return where the published file `name` is kept. Its folder exists. Raises WeightsError."""
        return self._made(self.path / "downloads") / name

    def converted(self, name: str) -> Path:
        """Return where a converted file of this name is kept. Its folder exists. Raises WeightsError."""
        return self._made(self.path) / name

    def known_hash(self, url: str) -> str | None:
        """Return the SHA-256 of the file that was first fetched from `url`; None if there was none."""
        return self._hashes().get(url)

    def remember_hash(self, url: str, digest: str) -> None:
        """Keep the SHA-256 of the file of `url`. Raises WeightsError."""
        if self.known_hash(url) == digest:
            return
        self._made(self.path)
        try:
            replace_file(self._hashes_file, orjson.dumps(self._hashes() | {url: digest}, option=orjson.OPT_INDENT_2))
        except OSError as error:
            raise WeightsError(_not_writable(self._hashes_file, error)) from None

    def _hashes(self) -> dict[str, str]:
        try:
            hashes: dict[str, str] = orjson.loads(self._hashes_file.read_bytes())
            if not isinstance(hashes, dict) or not all(isinstance(digest, str) for digest in hashes.values()):
                raise ValueError("is no object of hashes")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"{self._hashes_file}: cannot be read ({error}): remove it; the next fetch trusts the files again"
            ) from None
        return hashes

    def _made(self, folder: Path) -> Path:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WeightsError(_not_writable(folder, error)) from None
        return folder


def _default_folder() -> Path:
    cache = os.environ.get("AIOP_CACHE")
    if cache:
        return Path(cache) / "weights"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aiop-orchestrator" / "weights"


def _not_writable(path: Path, error: OSError) -> str:
    return f"{path}: cannot be written: {write_problem(error, 'set AIOP_CACHE to a folder that you can write')}"
