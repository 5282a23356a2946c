"""A predictor on disk: a folder with its arrays, as safetensors, and a description, as JSON.

The folder appears complete or not at all.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from predictor.atomic_write import write_folder
from predictor.errors import AIOPError, write_problem
from predictor.features.nodes import NODE_FEATURES
from predictor.features.statistics import STATISTICS
from predictor.graph.vocabulary import OPS, VERSION
from predictor.label_set import PROXIES
from predictor.metadata import GenerationMetadata
from predictor.text_files import parse_json

if TYPE_CHECKING:  # it loads torch
    from predictor.models.base import Arrays

FORMAT = 1
_WEIGHTS, _DESCRIPTION = "weights.safetensors", "generation.json"


class GenerationError(AIOPError):
    """A folder that holds no usable predictor."""


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """The content of a generation's folder.

    model_state: what the model keeps as JSON, stored as "learnt". support: name, task and data of each support set,
    stored as "few". arrays: of the model, the support sets and the reference graphs, by name. references, widening: see
    `reference_graphs`; empty in generations of version 0.1.
    """

    metadata: GenerationMetadata
    model_state: dict[str, Any]
    support: list[dict[str, str]]
    arrays: Arrays
    references: list[dict[str, str]] = field(default_factory=list)
    widening: dict[str, Any] = field(default_factory=dict)


def write_generation(folder: Path, generation: Generation) -> None:
    """Write a new folder. Raises GenerationError if it exists or cannot be written."""
    weights = save_tensors({name: value.copy(order="C") for name, value in generation.arrays.items()})
    description = {"format": FORMAT, "reads": input_version(), "sha256": hashlib.sha256(weights).hexdigest()}
    description |= generation.metadata.to_json()
    description |= {"learnt": generation.model_state, "few": generation.support}
    description |= {"references": generation.references, "widening": generation.widening}
    try:
        write_folder(folder, {_WEIGHTS: weights, _DESCRIPTION: json.dumps(description, indent=1).encode()})
    except FileExistsError:
        raise GenerationError(f"predictor {folder}: exists: choose another name") from None
    except OSError as error:
        raise GenerationError(
            f"predictor {folder}: cannot be written: {write_problem(error, 'name another folder')}"
        ) from None


def read_generation(folder: Path) -> Generation:
    """Read what `write_generation` wrote. Raises GenerationError."""
    description = _read_description(folder)
    metadata = _metadata(folder, description)
    try:
        weights = (folder / _WEIGHTS).read_bytes()
    except OSError as error:
        raise GenerationError(f"predictor {folder}: {_WEIGHTS}: {error.strerror or error}: train it again") from None
    if hashlib.sha256(weights).hexdigest() != description.get("sha256"):
        raise GenerationError(f"predictor {folder}: {_WEIGHTS}: checksum mismatch: restore it, or train it again")
    try:
        arrays = load_tensors(weights)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise GenerationError(f"predictor {folder}: {_WEIGHTS}: {error}: train it again") from None
    references, widening = description.get("references", []), description.get("widening", {})
    try:
        return Generation(metadata, description["learnt"], description["few"], arrays, references, widening)
    except KeyError as error:
        raise GenerationError(f"predictor {folder}: {_DESCRIPTION} has no {error}: train it again") from None


def read_metadata(folder: Path) -> GenerationMetadata:
    """Read the metadata alone. Raises GenerationError, also for another version's format or graphs."""
    return _metadata(folder, _read_description(folder))


def _metadata(folder: Path, description: dict[str, Any]) -> GenerationMetadata:
    try:
        return GenerationMetadata.from_json(description)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise GenerationError(f"predictor {folder}: {_DESCRIPTION}: {reason}: train it again") from None


def _read_description(folder: Path) -> dict[str, Any]:
    try:
        description = parse_json((folder / _DESCRIPTION).read_bytes())
    except FileNotFoundError:
        raise GenerationError(f"predictor {folder}: does not exist: make one with `orchestrator train`") from None
    except (OSError, ValueError) as error:
        raise GenerationError(f"predictor {folder}: {_DESCRIPTION} cannot be read ({error}): train it again") from None
    found = description.get("format") if isinstance(description, dict) else None
    if found != FORMAT:
        raise GenerationError(f"predictor {folder}: has format {found}, this version reads {FORMAT}: train it again")
    if description.get("reads") != input_version():
        raise GenerationError(f"predictor {folder}: trained on graphs of another version: train it again")
    return dict(description)


def input_version() -> str:
    """Return a digest of everything that gives a predictor's inputs their meaning, stored as "reads"."""
    meaning = json.dumps([VERSION, OPS, NODE_FEATURES, STATISTICS, PROXIES])
    return hashlib.sha256(meaning.encode()).hexdigest()[:16]
