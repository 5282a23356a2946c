"""The fidelity `proxy`: scores of the untrained network in about a second."""

from __future__ import annotations

import math
import time

from predictor.cost import measure_cost
from workers.errors import DivergedFailure
from workers.loading.batches import SplitCache
from workers.messages.evaluator_options import EvaluatorOptions
from workers.messages.label import LabelJob, Measurement
from workers.proxies.base import Probe, compute_scores
from workers.tasks import get_task
from workers.training.full import build_network, initialise

VALUE_SCORE = "naswot"  # the score that is the value of the label; all scores are among its metrics
_PARTS = 4
_MAX_IMAGES = 16


class ProxyEvaluator:
    """Computes all proxies of backbone and head on the first training images, equal for all architectures."""

    def __init__(self, options: EvaluatorOptions | None = None) -> None:  # no option concerns it
        self._splits = SplitCache()

    def __call__(self, job: LabelJob) -> Measurement:
        """Return the scores of a job, repeatable on the same machine. They are not limited to 0..1."""
        request, recipe = job.request, job.request.recipe
        task = get_task(request.task)
        start = time.perf_counter()
        data, train, _ = self._splits.open(request.data, task, recipe, request.fingerprint)
        network = build_network(request.architecture, recipe, task, data.vocabulary(task.name))
        initialise(network, request.seed)
        cost = measure_cost(network, (3, *recipe.input_size))
        ready = time.perf_counter()
        indices = list(range(min(_MAX_IMAGES, len(train))))
        batches = [train.batch(indices[i::_PARTS]) for i in range(min(_PARTS, len(indices)))]
        parts = tuple((batch.images, batch.target) for batch in batches)
        probe = Probe(network.train(), task, train.batch(indices).images, parts)
        scores = {"depth": float(len(probe.layers())), **compute_scores(probe)}
        for name, value in scores.items():
            if not math.isfinite(value):
                raise DivergedFailure(f"proxy {name} is {value}")
        seconds = {"build": ready - start, "evaluate": time.perf_counter() - ready}
        return Measurement(scores[VALUE_SCORE], VALUE_SCORE, scores, cost.flops, cost.params, seconds)
