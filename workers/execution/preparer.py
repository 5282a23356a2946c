"""The Ray actor class that prepares shared weights and heads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workers.execution.threads import use_cores
from workers.messages.label import LabelRequest
from workers.messages.shared_recipe import SharedRecipe
from workers.storage.artifacts import open_artifacts
from workers.supernet.preparation_step import PreparationStep
from workers.supernet.prepare import Preparation

TrainDistributed = Callable[[Path, LabelRequest], None]  # trains shared weights into a folder, on several workers


class Preparer:
    """Prepares the artifacts that labels like `request` need, if they are missing."""

    def __init__(self, location: str, request: LabelRequest, cpus: float) -> None:
        """location: of the artifacts, as for `open_artifacts`. cpus: number of cores to compute on."""
        assert isinstance(request.recipe, SharedRecipe)
        self._preparation = Preparation(open_artifacts(location), request, request.recipe)
        self._request = request
        self._step: PreparationStep | None = None
        use_cores(cpus)

    def __repr__(self) -> str:
        return f"Preparer({self._preparation.supernet_name})"

    def run(self) -> None:
        """Make the missing artifacts. If another process is making one, wait for it."""
        self._preparation.make(self.record_step)

    def run_distributed(self, train: TrainDistributed) -> None:
        """Make the shared weights alone. train: trains them on several workers, and calls `record_step`."""
        self._preparation.make_weights(self.record_step, lambda folder, _: train(folder, self._request))

    def progress(self) -> PreparationStep | None:
        """Return the latest training step, None before the first."""
        return self._step

    def record_step(self, step: PreparationStep) -> None:
        """Record the latest training step."""
        self._step = step
