"""Errors of the data plane. User errors stop a command before it starts; a label failure ends one attempt."""

from __future__ import annotations

from collections.abc import Iterable

from predictor.errors import AIOPError


class UnknownNameError(AIOPError):
    """A space, task, data format, fidelity or recipe with an unknown name."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"unknown {kind} '{name}': choose one of {', '.join(sorted(known))}")


class DataError(AIOPError):
    """A data set cannot be used. The message names the file and the remedy."""


class RecipeError(AIOPError):
    """A recipe is not valid, or its settings for a space are not."""


class GenotypeError(AIOPError):
    """A genotype cannot be decoded by its space."""


class SpaceError(AIOPError):
    """A search space that a user declared cannot be used: its file, or the function that builds its networks."""


class ArtifactError(AIOPError):
    """An artifact, which is prepared once for many labels, is missing or damaged."""


class LatencyError(AIOPError):
    """A latency cannot be measured: its settings do not fit together or the machine, or the network does not run."""


class NodeError(AIOPError):
    """A machine of the cluster lacks what labels need. The message names the machine, the problem and the remedy."""


class LabelFailure(Exception):  # noqa: N818 - "failure" is the term for a failed attempt
    """An attempt at a label failed for a reason that the evaluator recognised."""


class OutOfMemoryFailure(LabelFailure):
    """The device or the machine ran out of memory."""


class BadDataFailure(LabelFailure):
    """A sample could not be read or does not fit the task."""


class LoaderLostFailure(LabelFailure):
    """A process that loads images died: the machine ran out of memory or of shared memory, or somebody killed it."""


class DivergedFailure(LabelFailure):
    """The loss or the metric became NaN or infinite."""
