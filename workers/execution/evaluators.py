"""Evaluators by name, and the one of a campaign that makes labels of several fidelities."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from workers.messages.fidelity import get_fidelity
from workers.messages.label import Evaluator, LabelJob, Measurement


def build_evaluator(path: str, arguments: Mapping[str, Any]) -> Evaluator:
    """Evaluator from its importable factory, "package.module:callable", called with `arguments`."""
    module, _, name = path.partition(":")
    evaluator: Evaluator = getattr(importlib.import_module(module), name)(**arguments)
    return evaluator


class FidelityEvaluator:
    """Makes every label with the evaluator of its fidelity."""

    def __init__(self, arguments: Mapping[str, Mapping[str, Any]]) -> None:
        """arguments: those of every fidelity's evaluator, by the fidelity's name. All are built here."""
        self._evaluators = {name: build_evaluator(get_fidelity(name).evaluator, own) for name, own in arguments.items()}

    def __call__(self, job: LabelJob) -> Measurement:
        """The label of `job`."""
        return self._evaluators[job.request.fidelity](job)
