"""What a Ray actor that prepares shared weights and heads is made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workers.execution.threads import compute_on
from workers.messages.label import LabelRequest
from workers.messages.shared_recipe import SharedRecipe
from workers.storage.artifacts import open_artifacts
from workers.supernet.preparation_step import PreparationStep
from workers.supernet.prepare import Preparation

TrainTogether = Callable[[Path, LabelRequest], None]  # trains shared weights into a folder, on several workers


class Preparer:
    """Makes what labels like `request` start from, where it is missing."""

    def __init__(self, place: str, request: LabelRequest, cpus: float, together: TrainTogether | None = None) -> None:
        """place: as for `open_artifacts`.

        together: how shared weights are trained where the recipe has several workers; it calls `note`.
        """
        assert isinstance(request.recipe, SharedRecipe)
        self._preparation = Preparation(open_artifacts(place), request, request.recipe)
        self._request, self._together = request, together
        self._step: PreparationStep | None = None
        compute_on(cpus)

    def __repr__(self) -> str:
        return f"Preparer({self._preparation.supernet})"

    def run(self) -> None:
        """Make it; whoever else wants the same waits."""
        together = self._together
        if together is None:
            self._preparation.make(self.note)
        else:
            self._preparation.make(self.note, lambda folder, _: together(folder, self._request))

    def progress(self) -> PreparationStep | None:
        """The last step taken; None before the first."""
        return self._step

    def note(self, step: PreparationStep) -> None:
        """Remember how far it is."""
        self._step = step
