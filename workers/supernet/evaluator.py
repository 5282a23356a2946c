"""The fidelity `shared`: a short fine-tune from shared weights and a shared head."""

from __future__ import annotations

from workers.data import Vocabulary
from workers.loading.batches import ImageSplit
from workers.messages.evaluator_options import EvaluatorOptions
from workers.messages.label import LabelRequest
from workers.messages.shared_recipe import SharedRecipe
from workers.spaces import Backbone
from workers.storage.artifacts import open_artifacts
from workers.supernet.prepare import Preparation, PreparedWeights
from workers.supernet.shared_head import copy_shared_head
from workers.tasks import Task
from workers.training.full import FullEvaluator, Network, device_of, initialise


class SharedEvaluator(FullEvaluator):
    """Fine-tunes each architecture from prepared weights, then evaluates it. Loads the prepared weights once."""

    def __init__(self, options: EvaluatorOptions) -> None:
        super().__init__(options)
        assert options.artifacts_uri is not None
        self._artifacts = open_artifacts(options.artifacts_uri)
        self._prepared: dict[str, PreparedWeights] = {}

    def set_initial_weights(
        self, network: Network, request: LabelRequest, task: Task, vocabulary: Vocabulary, train: ImageSplit
    ) -> None:
        """Copy the shared weights and head into `network`, with batch norms calibrated on the task.

        The backbone is frozen unless the recipe trains it.
        """
        recipe = request.recipe
        assert isinstance(recipe, SharedRecipe)
        preparation = Preparation(self._artifacts, request, recipe)
        name = f"{preparation.supernet_name} {preparation.head_name}"
        if name not in self._prepared:
            self._prepared = {name: preparation.load(train, vocabulary)}  # a campaign needs one at a time
        prepared = self._prepared[name]
        initialise(network, request.seed)
        network.to(device_of(recipe))
        prepared.backbones.initialise(request.architecture, network.body)
        if prepared.head is not None:
            copy_shared_head(network.head, prepared.head)
        network.body.requires_grad_(recipe.train_body)
        assert isinstance(network.body, Backbone)
        network.body.keeps_weights = True
