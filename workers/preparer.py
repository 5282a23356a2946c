"""What a Ray actor that prepares shared weights and heads is made from."""

from __future__ import annotations

import sys
from pathlib import Path

from workers.artifacts import ArtifactFolder
from workers.label import LabelRequest
from workers.supernet.prepare import Preparation
from workers.supernet.progress import Step
from workers.supernet.recipe import SharedRecipe


class Preparer:
    """Makes what labels like `request` start from, where it is missing."""

    def __init__(self, folder: str, request: LabelRequest, cpus: float) -> None:
        assert isinstance(request.recipe, SharedRecipe)
        self._preparation = Preparation(ArtifactFolder(Path(folder)), request, request.recipe)
        self._step: Step | None = None
        # Ray limits OpenMP to one thread by default, whatever the actor has reserved.
        sys.modules["torch"].set_num_threads(max(1, int(cpus)))

    def __repr__(self) -> str:
        return f"Preparer({self._preparation.supernet})"

    def run(self) -> None:
        """Make it; whoever else wants the same waits."""
        self._preparation.make(self._note)

    def progress(self) -> Step | None:
        """The last step taken; None before the first."""
        return self._step

    def _note(self, step: Step) -> None:
        self._step = step
