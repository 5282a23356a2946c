"""Errors of the data plane. User errors stop a command before it starts; label failures end one attempt."""

from __future__ import annotations

from collections.abc import Iterable

from predictor.errors import AIOPError


class UnknownNameError(AIOPError):
    """A space, task, data format, fidelity or recipe that is not registered."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"unknown {kind} '{name}': choose one of {', '.join(sorted(known))}")


class DataError(AIOPError):
    """A data set that cannot be used as asked: names the file and the remedy."""


class RecipeError(AIOPError):
    """A recipe, or the part of it a space reads, that is not valid."""


class GenotypeError(AIOPError):
    """A genotype that its space cannot decode."""


class ArtifactError(AIOPError):
    """Something that is prepared once for many labels is missing, or not as it was written."""


class NodeError(AIOPError):
    """A machine of the cluster lacks what its labels need: names the machine, what it lacks and the remedy."""


class LabelFailure(Exception):  # noqa: N818 - the field's word for it
    """One attempt at a label failed for a reason that the evaluator recognised."""


class OutOfMemoryFailure(LabelFailure):
    """The device or the machine ran out of memory."""


class BadDataFailure(LabelFailure):
    """A sample could not be read or does not fit the task."""


class DivergedFailure(LabelFailure):
    """The loss or the metric became NaN or infinite."""
