"""An evaluator without training, whose genotype {"do": ..., "seconds": ...} sets the outcome."""

from __future__ import annotations

import os
import time
from typing import Any

from workers.errors import BadDataFailure, DivergedFailure, OutOfMemoryFailure
from workers.messages.architecture import Architecture
from workers.messages.evaluator_options import EvaluatorOptions
from workers.messages.label import Evaluator, LabelJob, LabelRequest, Measurement
from workers.messages.recipe import Recipe

RECIPE = Recipe(name="fake", task="faking", time_limit_s=60)


def request(n: int, do: str = "sleep", seconds: float = 0.0, recipe: Recipe = RECIPE, seed: int = 0) -> LabelRequest:
    """Return a request whose evaluation takes `seconds` and ends with `do`."""
    architecture = Architecture.of("fake", {"n": n, "do": do, "seconds": seconds})
    return LabelRequest(architecture, "faking", "synthetic", "f" * 16, "full", recipe, seed)


def evaluate(job: LabelJob) -> Measurement:
    """Sleep, then end as the genotype specifies."""
    values: dict[str, Any] = job.request.architecture.values
    time.sleep(values["seconds"])
    match values["do"]:
        case "crash":
            os._exit(17)
        case "hang":
            time.sleep(3600)
        case "oom":
            raise OutOfMemoryFailure("as asked")
        case "oom_unless_split":
            if job.split == 1:
                raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")
        case "swell" | "swell_once":
            if job.attempt == 1 or values["do"] == "swell":
                _swell()
        case "raise":
            raise KeyError("as asked")
        case "bad_data":
            raise BadDataFailure("as asked")
        case "diverged":
            raise DivergedFailure("as asked")
    value = float("nan") if values["do"] == "nan" else 0.5
    return Measurement(value, "fake", {"fake": value}, 1.0, 1.0, {"train": values["seconds"]})


def _swell() -> None:
    """Take ever more memory, up to four gigabytes, and keep it for a while."""
    taken = []
    for _ in range(40):
        taken.append(b"x" * 100_000_000)
        time.sleep(0.05)
    time.sleep(20)


def build(options: EvaluatorOptions) -> Evaluator:
    """Return the evaluator."""
    return evaluate


def broken(options: EvaluatorOptions) -> Evaluator:
    """Fail to build an evaluator."""
    raise RuntimeError("no such thing")
