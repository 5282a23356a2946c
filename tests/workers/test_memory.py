"""What a worker holds: below the limit at the laptop recipe, and no more after twenty labels than after five."""

import itertools
import multiprocessing
from multiprocessing.connection import Connection

import psutil
import pytest
import torch

from workers.label import LabelJob, LabelRequest
from workers.recipe import load_recipe
from workers.spaces import get_space
from workers.tasks import task_names
from workers.training import FullEvaluator

GIB = 2**30


def _label(task: str, space: str, count: int, pipe: Connection) -> None:
    """Memory after each of `count` labels of different architectures. Batches and images are the recipe's."""
    torch.set_num_threads(1)
    few = {"steps": 6, "ema": 0.5, "train_images": 64, "eval_images": 32}
    recipe, evaluator = load_recipe("laptop", task, space, few), FullEvaluator()
    held = []
    for architecture in itertools.islice(get_space(space).sequence(0), count):
        evaluator(LabelJob(LabelRequest(architecture, task, "shapes", "f", "full", recipe, 0), "c"))
        held.append(psutil.Process().memory_info().rss)
    pipe.send(held)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("space", ["nasbench201", "mobilenetv3"])
@pytest.mark.parametrize("task", task_names())
def test_a_worker_stays_small_over_twenty_labels(task: str, space: str) -> None:
    context = multiprocessing.get_context("spawn")  # a process as fresh as an actor's
    here, there = context.Pipe(duplex=False)
    worker = context.Process(target=_label, args=(task, space, 20, there))
    worker.start()
    held = here.recv()
    worker.join(60)
    print(f"{task} {space}: GiB after 1, 5, 20 labels: {held[0] / GIB:.2f} {held[4] / GIB:.2f} {held[-1] / GIB:.2f}")
    assert max(held) < 2.5 * GIB
    assert min(held[15:]) - max(held[:5]) < 0.05 * GIB
