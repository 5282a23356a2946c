"""The fidelity `shared`: a short fine-tune from shared weights and a shared head."""

from __future__ import annotations

from workers.data import Vocabulary
from workers.messages.label import LabelRequest
from workers.messages.shared_recipe import SharedRecipe
from workers.storage.artifacts import open_artifacts
from workers.supernet.prepare import Preparation, SharedStart
from workers.supernet.shared_head import fitted
from workers.tasks import Task
from workers.training.full import FullEvaluator, Network, device_of, initialise
from workers.training.loading import CachedSplit


class SharedEvaluator(FullEvaluator):
    """Fine-tunes each architecture from what was prepared, then evaluates it. Loads that once for all of a campaign."""

    def __init__(self, artifacts: str, pictures: str | None = None, save_images: int = 0) -> None:
        """artifacts: where what was prepared lies, as for `open_artifacts`; see FullEvaluator for the others."""
        super().__init__(pictures, save_images)
        self._artifacts = open_artifacts(artifacts)
        self._started: dict[str, SharedStart] = {}

    def start(
        self, network: Network, request: LabelRequest, task: Task, vocabulary: Vocabulary, train: CachedSplit
    ) -> None:
        """Shared weights with batch norms measured on the task, shared head; frozen body where the recipe wants one."""
        recipe = request.recipe
        assert isinstance(recipe, SharedRecipe)
        prepared = Preparation(self._artifacts, request, recipe)
        name = f"{prepared.supernet} {prepared.head}"
        if name not in self._started:
            self._started = {name: prepared.load(train, vocabulary)}  # one at a time: a campaign has one
        start = self._started[name]
        initialise(network, request.seed)
        network.to(device_of(recipe))
        start.bodies.start(request.architecture, network.body)
        if start.head is not None:
            fitted(network.head, start.head)
        network.body.requires_grad_(recipe.train_body)
