"""A predictor on disk: a folder with its numbers, as safetensors, and what they mean, as JSON.

A folder is written under another name and renamed when complete, so whoever reads finds all of it or nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from predictor.errors import AIOPError
from predictor.features.nodes import NODE_FEATURES
from predictor.features.statistics import STATISTICS
from predictor.graph.vocabulary import OPS, VERSION
from predictor.label_set import PROXIES

if TYPE_CHECKING:  # it loads torch
    from predictor.models.base import Arrays, State

FORMAT = 1
_WEIGHTS, _ABOUT = "weights.safetensors", "generation.json"


class GenerationError(AIOPError):
    """A folder that holds no predictor which can be used."""


def write_generation(folder: Path, arrays: Arrays, about: dict[str, Any]) -> None:
    """about: what JSON can hold. Raises GenerationError where the folder exists or cannot be written."""
    if folder.exists():
        raise GenerationError(f"predictor {folder}: exists: choose another name")
    weights = save_tensors({name: value.copy(order="C") for name, value in arrays.items()})
    told = {"format": FORMAT, "reads": reads(), "sha256": hashlib.sha256(weights).hexdigest(), **about}
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        partial.mkdir(parents=True)
        for name, content in ((_WEIGHTS, weights), (_ABOUT, json.dumps(told, indent=1).encode())):
            with (partial / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        partial.rename(folder)
    except OSError as error:
        raise GenerationError(f"predictor {folder}: cannot be written ({error.strerror or error})") from None


def read_generation(folder: Path) -> State:
    """What `write_generation` was given, the JSON with what it added. Raises GenerationError."""
    about = read_about(folder)
    try:
        weights = (folder / _WEIGHTS).read_bytes()
    except OSError as error:
        raise GenerationError(f"predictor {folder}: {_WEIGHTS}: {error.strerror or error}: train it anew") from None
    if hashlib.sha256(weights).hexdigest() != about.get("sha256"):
        raise GenerationError(f"predictor {folder}: {_WEIGHTS} is not as it was written: restore it, or train it anew")
    try:
        return load_tensors(weights), about
    except SafetensorError as error:
        raise GenerationError(f"predictor {folder}: {_WEIGHTS}: {error}: train it anew") from None


def read_about(folder: Path) -> dict[str, Any]:
    """The JSON alone. Raises GenerationError, also for what another version of this program has written."""
    try:
        about = json.loads((folder / _ABOUT).read_text())
    except FileNotFoundError:
        raise GenerationError(f"predictor {folder}: there is none: make one with `orchestrator train`") from None
    except (OSError, ValueError) as error:
        raise GenerationError(f"predictor {folder}: {_ABOUT} cannot be read ({error}): train it anew") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        found = about.get("format") if isinstance(about, dict) else None
        raise GenerationError(f"predictor {folder}: of format {found}, this version reads {FORMAT}: train it anew")
    if about.get("reads") != reads():
        raise GenerationError(f"predictor {folder}: learnt from graphs of another version: train it anew")
    return about


def reads() -> str:
    """A digest of everything that gives a predictor's inputs their meaning."""
    meaning = json.dumps([VERSION, OPS, NODE_FEATURES, STATISTICS, PROXIES])
    return hashlib.sha256(meaning.encode()).hexdigest()[:16]
