"""Make labels of fidelity `shared` in a plain script: one process, one network after another, torch's own threads.

There is no store, spool or actor. Networks, heads, losses and metrics are the project's, the loops are plain torch.
Images, shared weights and head are loaded once, as in a worker.
The argument is a campaign's configuration as JSON; its store has the artifacts. Prints the seconds for all labels.
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
from orchestrator.store.layout import artifacts_uri
from workers.data.base import Vocabulary
from workers.loading.batches import ImageSplit, SplitCache
from workers.messages.shared_recipe import SharedRecipe
from workers.storage.artifacts import open_artifacts
from workers.supernet.prepare import Preparation
from workers.supernet.shared_head import copy_shared_head
from workers.tasks import Task, get_task
from workers.training.full import Network, build_network, initialise
from workers.training.optimization import lr_factor

EVALUATION_BATCH = 32  # images


def train(network: Network, task: Task, images: ImageSplit, recipe: SharedRecipe, seed: int) -> Network:
    """Run the recipe's fine-tune with torch alone."""
    parameters = list(network.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, recipe))
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
    network.train()
    for (batch,) in images.training(recipe.steps, seed):
        loss = task.loss(network.head, network.pyramid(batch.images), batch.target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
        optimizer.step()
        schedule.step()
        averaged.update_parameters(network)
    result = averaged.module
    assert isinstance(result, Network)
    return result


@torch.no_grad()
def evaluate(network: Network, task: Task, images: ImageSplit, vocabulary: Vocabulary) -> dict[str, float]:
    """Return all metrics on the held-out images."""
    metric = task.build_metric(vocabulary)
    network.eval()
    for batch in images.evaluation(EVALUATION_BATCH):
        metric.update(task.predict(network.head, network.pyramid(batch.images), batch.target), batch.target)
    return metric.compute()


def labels(config: CampaignConfig) -> float:
    """Return the seconds for all labels of the campaign."""
    requests = plan_campaign(config).requests
    task, recipe = get_task(config.task), requests[0].recipe
    assert isinstance(recipe, SharedRecipe)
    data, train_split, held_out = SplitCache().open(config.data, task, recipe, requests[0].fingerprint)
    vocabulary = data.vocabulary(task.name)
    preparation = Preparation(open_artifacts(artifacts_uri(config.store)), requests[0], recipe)
    start = time.perf_counter()
    prepared = preparation.load(train_split, vocabulary)
    for request in requests:
        network = build_network(request.architecture, recipe, task, vocabulary)
        initialise(network, request.seed)
        prepared.backbones.initialise(request.architecture, network.body)
        assert prepared.head is not None
        copy_shared_head(network.head, prepared.head)
        network = network.to(memory_format=torch.contiguous_format)  # torch's default
        averaged = train(network, task, train_split, recipe, request.seed)
        evaluate(averaged, task, held_out, vocabulary)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(labels(CampaignConfig.checked(**json.loads(sys.argv[1]))))
