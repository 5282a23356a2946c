"""Cheap labels as one would make them by hand: one process, one network after the other, torch's own threads.

No store, no spool, no actors. Networks, heads, losses and meters are the project's, the loops are plain torch.
Images, shared weights and head are loaded once, as in a worker.
Takes a campaign's configuration as JSON, whose store has the artifacts. Prints the seconds of all its labels.
"""

from __future__ import annotations

import json
import sys
import time

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.plan import plan_campaign
from orchestrator.store.layout import artifacts_of
from workers.data.base import Vocabulary
from workers.messages.shared_recipe import SharedRecipe
from workers.storage.artifacts import open_artifacts
from workers.supernet.prepare import Preparation
from workers.supernet.shared_head import fitted
from workers.tasks import Task, get_task
from workers.training.batches import training_batches
from workers.training.full import Network, build_network, initialise
from workers.training.loading import CachedSplit, SplitCache
from workers.training.optimization import lr_factor

AT_ONCE = 32  # images, in evaluation


def trained(network: Network, task: Task, images: CachedSplit, recipe: SharedRecipe, seed: int) -> Network:
    """The recipe's fine-tune with what torch has for it."""
    parameters = list(network.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, recipe))
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
    network.train()
    for batch in training_batches(len(images), recipe, seed):
        pictures, target = batch.load(images, task)
        loss = task.loss(network.head, network.pyramid(pictures), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
        optimizer.step()
        schedule.step()
        averaged.update_parameters(network)
    found = averaged.module
    assert isinstance(found, Network)
    return found


@torch.no_grad()
def evaluated(network: Network, task: Task, images: CachedSplit, vocabulary: Vocabulary) -> dict[str, float]:
    """All metrics over the held-out images."""
    build_metric = task.build_metric(vocabulary)
    network.eval()
    for first in range(0, len(images), AT_ONCE):
        pictures, target = images.batch(list(range(first, min(first + AT_ONCE, len(images)))))
        build_metric.update(task.predict(network.head, network.pyramid(pictures), target), target)
    return build_metric.compute()


def labels(config: CampaignConfig) -> float:
    """Seconds that all of the campaign's labels take."""
    requests = plan_campaign(config).requests
    task, recipe = get_task(config.task), requests[0].recipe
    assert isinstance(recipe, SharedRecipe)
    data, train, held_out = SplitCache().open(config.data, task, recipe)
    vocabulary = data.vocabulary(task.name)
    made = Preparation(open_artifacts(artifacts_of(config.store)), requests[0], recipe)
    begun = time.perf_counter()
    start = made.load(train, vocabulary)
    for request in requests:
        network = build_network(request.architecture, recipe, task, vocabulary)
        initialise(network, request.seed)
        start.bodies.start(request.architecture, network.body)
        assert start.head is not None
        fitted(network.head, start.head)
        network = network.to(memory_format=torch.contiguous_format)  # torch's own
        averaged = trained(network, task, train, recipe, request.seed)
        evaluated(averaged, task, held_out, vocabulary)
    return time.perf_counter() - begun


if __name__ == "__main__":
    print(labels(CampaignConfig.checked(**json.loads(sys.argv[1]))))
