"""Build evaluators by name, and the evaluator of a campaign with labels of several fidelities."""

from __future__ import annotations

import importlib

from workers.messages.evaluator_options import EvaluatorOptions
from workers.messages.fidelity import get_fidelity
from workers.messages.label import Evaluator, LabelJob, Measurement


def build_evaluator(path: str, options: EvaluatorOptions) -> Evaluator:
    """Build an evaluator with its factory, "package.module:callable", which is called with `options`."""
    module, _, name = path.partition(":")
    evaluator: Evaluator = getattr(importlib.import_module(module), name)(options)
    return evaluator


class FidelityEvaluator:
    """Makes every label with the evaluator of its fidelity. All evaluators are built at once."""

    def __init__(self, options: EvaluatorOptions) -> None:
        if options.space:
            from workers.spaces.opening import receive_space  # loads torch, which a scripted evaluator does not need

            receive_space(options.space)
        self._evaluators = {name: build_evaluator(get_fidelity(name).evaluator, options) for name in options.fidelities}

    def __call__(self, job: LabelJob) -> Measurement:
        """Make the label of `job`."""
        return self._evaluators[job.request.fidelity](job)
