"""Cheap labels as one would make them by hand: one process, one network after the other, torch's own threads.

No store, no spool, no actors, nothing kept from one architecture to the next but images, shared weights and head.
Takes a campaign's configuration as JSON, whose store has the artifacts. Prints the seconds of all its labels.
"""

from __future__ import annotations

import json
import sys
import time

from orchestrator.config import CampaignConfig
from orchestrator.place import beside
from orchestrator.plan import plan_campaign
from workers.artifacts import ArtifactFolder
from workers.data.loading import SplitCache
from workers.supernet.prepare import Preparation
from workers.supernet.recipe import SharedRecipe
from workers.supernet.shared_head import fitted
from workers.tasks import get_task
from workers.training import build_network, evaluate_network, initialise, train_network


def labels(config: CampaignConfig) -> float:
    """Seconds that all of the campaign's labels take."""
    requests = plan_campaign(config).requests
    task, recipe = get_task(config.task), requests[0].recipe
    assert isinstance(recipe, SharedRecipe)
    data, train, held_out = SplitCache().open(config.data, task, recipe)
    vocabulary = data.vocabulary(task.name)
    made = Preparation(ArtifactFolder(beside(config.store, "artifacts")), requests[0], recipe)
    start, begun = made.load(train, vocabulary), time.perf_counter()
    for request in requests:
        network = build_network(request.architecture, recipe, task, vocabulary)
        initialise(network, request.seed)
        start.bodies.start(request.architecture, network.body)
        assert start.head is not None
        fitted(network.head, start.head)
        averaged = train_network(network, task, train, recipe, request.seed, 1)
        evaluate_network(averaged, task, held_out, {task.name: task.meter(vocabulary)}, recipe)
    return time.perf_counter() - begun


if __name__ == "__main__":
    print(labels(CampaignConfig.checked(**json.loads(sys.argv[1]))))
