"""Files of pretrained weights: safetensors, because a pickle can run code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from workers.errors import RecipeError

NO_FILE = ("none", "hub")  # values of `pretrained` that name no file


def pretrained_file(settings: Mapping[str, Any]) -> Path | None:
    """Return the file that a recipe's `body` names as `pretrained`; None if it names none.

    Raises RecipeError for a value that is no path, or a path without the suffix .safetensors.
    """
    pretrained = settings.get("pretrained", "none")
    if pretrained in NO_FILE:
        return None
    if not isinstance(pretrained, str) or Path(pretrained).suffix != ".safetensors":
        raise RecipeError(
            f"body pretrained '{pretrained}': must be none, hub or a .safetensors file: convert a checkpoint with "
            "`orchestrator fetch-weights FILE`"
        )
    return Path(pretrained)


def read_weights(path: Path, field: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, on the CPU. field: of the recipe, for the message.

    Raises RecipeError if the file is missing or cannot be read.
    """
    if not path.is_file():
        raise RecipeError(f"{field} '{path}': no such file: make it with `orchestrator fetch-weights`")
    try:
        weights: dict[str, Tensor] = load_file(path, device="cpu")
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RecipeError(
            f"{field} '{path}': not a readable safetensors file ({reason}): make it with `orchestrator fetch-weights`"
        ) from None
    return weights


def body_fingerprint(settings: Mapping[str, Any]) -> str:
    """Return the fingerprint of the file that a recipe's `body` names; empty if it names none. Raises RecipeError."""
    path = pretrained_file(settings)
    return "" if path is None else weights_fingerprint(path, "body pretrained")


def weights_fingerprint(path: Path, field: str) -> str:
    """Return a hash of the file's content, 16 hexadecimal digits. field: see `read_weights`. Raises RecipeError."""
    try:
        return _fingerprint(path, *file_version(path))
    except OSError as error:
        raise RecipeError(
            f"{field} '{path}': {error.strerror or error}: make it with `orchestrator fetch-weights`"
        ) from None


def file_version(path: Path) -> tuple[int, ...]:
    """Return numbers that change when another file replaces the one at `path`. Raises OSError."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=8)
def _fingerprint(path: Path, *version: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
