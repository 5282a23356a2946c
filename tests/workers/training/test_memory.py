"""Memory of a worker: below the limit with the laptop recipe, and constant from five labels to twenty."""

import itertools
import multiprocessing
import resource
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest

from workers.execution.attempt import run_attempt
from workers.execution.threads import use_cores
from workers.messages.label import LabelJob, LabelRequest
from workers.messages.recipe_files import load_recipe
from workers.spaces import get_space
from workers.storage.folder_spool import FolderSpool
from workers.tasks import task_names
from workers.training.full import FullEvaluator

GIB = 2**30


def _label(task: str, space: str, count: int, folder: Path, pipe: Connection) -> None:
    """Send the memory after each of `count` labels of different architectures, and the maximum."""
    use_cores(1)  # as an actor does
    short = {"steps": 6, "ema": 0.5, "train_images": 64, "eval_images": 32}
    recipe, evaluator = load_recipe("laptop", task, space, short), FullEvaluator()
    memory, spool = [], FolderSpool(folder)
    for architecture in itertools.islice(get_space(space).sequence(0), count):
        job = LabelJob(LabelRequest(architecture, task, "shapes", "f", "full", recipe, 0), "c")
        assert run_attempt(evaluator, job, spool).measurement
        memory.append(psutil.Process().memory_info().rss)
    pipe.send((memory, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("space", ["nasbench201", "mobilenetv3"])
@pytest.mark.parametrize("task", task_names())
def test_a_worker_stays_small_over_twenty_labels(task: str, space: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")  # a new process, as for an actor
    here, there = context.Pipe(duplex=False)
    worker = context.Process(target=_label, args=(task, space, 20, tmp_path, there))
    worker.start()
    memory, maximum = here.recv()
    worker.join(60)
    after = " ".join(f"{memory[label - 1] / GIB:.2f}" for label in (1, 5, 20))
    print(f"{task} {space}: GiB after 1, 5, 20 labels: {after}, at most {maximum / GIB:.2f}")
    assert maximum < 2.5 * GIB
    assert min(memory[15:]) - max(memory[:5]) < 0.05 * GIB
