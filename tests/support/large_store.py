"""Makes a large store quickly and measures it. Imports nothing large, so that memory is that of the store."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from orchestrator.store import DeltaLabelStore
from workers.messages.architecture import Architecture
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Outcome
from workers.storage.report_json import report_from_json

BATCH, TASKS, NETWORKS, SEEDS = 2000, 20, 10_000, 5
TASK = "task07"


def reports(template: AttemptReport, count: int) -> Iterator[list[AttemptReport]]:
    """Yield batches of labels of all tasks in turn. Every tenth label failed once.

    Each network has a graph for one task, with the same size as that of `template`.
    """
    request, measured = template.job.request, template.measurement
    assert measured is not None
    head, _, tail = measured.graph.rpartition("0,0]]")
    recipes = [request.recipe.model_copy(update={"name": f"set-{task}"}) for task in range(TASKS)]
    batch: list[AttemptReport] = []
    for number in range(count):
        task, seed = number % TASKS, number // TASKS % SEEDS
        network = number // TASKS // SEEDS % NETWORKS
        architecture = Architecture("nasbench201", f'{{"arch":"|nor_conv_3x3~0|{network}"}}')
        text = f"{head}0,{network}]]{tail}" if network % TASKS == task else ""
        value = number * 7919 % 100_003 / 100_003
        made = dataclasses.replace(measured, value=value, metrics={"metric": value, "other": 1 - value}, graph=text)
        wanted = LabelRequest(architecture, f"task{task:02}", "shapes", "f00d", "full", recipes[task], seed)
        started = 1.7e9 + number + number * 31 % 600
        if number % 10 == 9:
            failed = LabelJob(wanted, "c1", 1)
            batch.append(AttemptReport(failed, Outcome.OUT_OF_MEMORY, "out of memory", "node-1", started - 9, 3.0))
        batch.append(AttemptReport(LabelJob(wanted, "c1", 2), Outcome.OK, "", "node-1", started, 3.0, made))
        if (number + 1) % BATCH == 0:
            yield batch
            batch = []


def commit_all(store: str, template: str, count: int) -> None:
    """Commit labels; print the seconds of a commit and the memory after each tenth. template: the file of a report."""
    opened, before = DeltaLabelStore(store), memory("VmRSS")
    wall, cpu, commits = list[float](), list[float](), count // BATCH // 10
    for batch in reports(report_from_json(Path(template).read_text()), count):
        start, started = time.perf_counter(), time.process_time()
        opened.commit(batch)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - started)
        if len(wall) == commits:
            figures = {"median": median(wall), "mean": sum(wall) / commits, "longest": max(wall)}
            figures |= {"cpu_median": median(cpu), "cpu_mean": sum(cpu) / commits}
            _print(figures | {"MB": memory("VmRSS"), "peak_MB": memory("VmHWM"), "before_MB": before})
            wall, cpu = [], []


def read(store: str, what: str) -> None:
    """Read a part of the store; print seconds, rows and memory."""
    before, start, started = memory("VmHWM"), time.perf_counter(), time.process_time()
    opened = DeltaLabelStore(store)
    if what == "columns":
        rows = len(opened.labels(task=TASK, columns=["architecture", "seed", "value"]))
    elif what == "labels":
        rows = len(opened.labels(task=TASK))
    elif what == "since":
        rows = len(opened.labels_since(-1))
    elif what == "keys":
        rows = len(opened.keys())
    else:
        rows = len(opened.graphs(task=TASK))
    seconds, cpu = time.perf_counter() - start, time.process_time() - started
    _print({"seconds": seconds, "cpu": cpu, "rows": rows, "peak_MB": memory("VmHWM"), "before_MB": before})


def compact(store: str) -> None:
    """Compact the store; print seconds and memory."""
    before, start, started = memory("VmHWM"), time.perf_counter(), time.process_time()
    DeltaLabelStore(store).compact()
    seconds, cpu = time.perf_counter() - start, time.process_time() - started
    _print({"seconds": seconds, "cpu": cpu, "peak_MB": memory("VmHWM"), "before_MB": before})


def memory(name: str) -> int:
    """Return memory of this process in MB. VmRSS is resident now, VmHWM its maximum so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(name))


def _print(figures: dict[str, float]) -> None:
    print(json.dumps({name: round(figure, 3) for name, figure in figures.items()}), flush=True)
