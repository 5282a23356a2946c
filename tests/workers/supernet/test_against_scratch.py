"""Twenty networks with inherited weights against the same networks trained alone, with the same total budget.

Prints figures.
"""

from __future__ import annotations

import itertools
import time
from statistics import fmean

import numpy as np
import pytest

from orchestrator.predictors.ranking import rank_correlation
from workers.execution.threads import use_cores
from workers.loading.batches import SplitCache
from workers.messages.architecture import Architecture
from workers.messages.recipe import Recipe
from workers.messages.shared_recipe import SupernetRecipe, load_shared_recipe
from workers.spaces import get_space
from workers.supernet.sandwich import Supernet
from workers.tasks import get_task
from workers.tasks.base import LogitTask
from workers.training.calibration import calibrate
from workers.training.full import Network, build_network, evaluate_network, initialise, train_network
from workers.training.normalisation import Normalisation

NETWORKS = 20
PROBE_STEPS = 50  # to measure the time of a step


class Comparison:
    """Networks of one space on the task that its shared weights are trained on."""

    def __init__(self, space: str, recipe: SupernetRecipe) -> None:
        task = get_task(recipe.task)
        assert isinstance(task, LogitTask)
        self.space, self.task, self.recipe = get_space(space), task, recipe
        data, self.images, self.held_out = SplitCache().open(recipe.data, task, recipe)
        self.vocabulary = data.vocabulary(task.name)
        self.networks = list(itertools.islice(self.space.sequence(1), NETWORKS))
        self.images.batch(list(range(len(self.images))))  # decoded before any measurement

    def accuracy(self, network: Network) -> float:
        metrics = {self.task.name: self.task.build_metric(self.vocabulary)}
        return evaluate_network(network, self.held_out, metrics, self.recipe)[self.task.name][self.task.metric]

    def inherited(self, supernet: Supernet, architecture: Architecture) -> float:
        network = build_network(architecture, self.recipe, self.task, self.vocabulary)
        supernet.averaged.copy_into(architecture, network)
        calibrate(network.body, [Normalisation()(self.images.batch(range(128)).images)])
        return self.accuracy(network)

    def scratch(self, architecture: Architecture, steps: int) -> tuple[float, float]:
        """Accuracy and seconds of training alone, with the recipe of the shared weights but `steps` steps."""
        network = build_network(architecture, self.recipe, self.task, self.vocabulary)
        initialise(network, self.recipe.seed)
        ema = min(self.recipe.ema, 1 - 2 / steps)
        recipe = Recipe.model_validate(
            self.recipe.model_dump(include=set(Recipe.model_fields)) | {"steps": steps, "ema": ema}
        )
        started = time.perf_counter()
        trained = train_network(network, self.images, recipe, self.recipe.seed, 1)
        seconds = time.perf_counter() - started
        return self.accuracy(trained), seconds


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("space", ["nasbench201"])
def test_inherited_weights_beat_training_alone_with_the_same_budget(space: str) -> None:
    use_cores(2)
    recipe = load_shared_recipe("laptop", "cls", space, {"supernet": {"data": "shapes"}}).supernet
    comparison = Comparison(space, recipe)
    started = time.perf_counter()
    supernet = Supernet(comparison.space, comparison.task, comparison.vocabulary, recipe)
    for _ in supernet.train(comparison.images):
        pass
    together = time.perf_counter() - started
    inherited = [comparison.inherited(supernet, architecture) for architecture in comparison.networks]
    steps = round(together / sum(comparison.scratch(a, PROBE_STEPS)[1] for a in comparison.networks) * PROBE_STEPS)
    ends = [comparison.scratch(architecture, steps) for architecture in comparison.networks]
    scratch, alone = [accuracy for accuracy, _ in ends], sum(seconds for _, seconds in ends)
    agreed = float(rank_correlation(np.array(inherited), np.array(scratch)))
    print(
        f"\n{space}, {NETWORKS} networks: inherited {fmean(inherited):.3f} ({min(inherited):.3f} to "
        f"{max(inherited):.3f}) in {together:.0f} s, alone, {steps} steps each, {fmean(scratch):.3f} "
        f"({min(scratch):.3f} to {max(scratch):.3f}) in {alone:.0f} s; rank correlation of the two {agreed:.2f}"
    )
    assert fmean(inherited) > fmean(scratch)
