"""A store of cells on `shapes` with cheap labels, of which some have full labels too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from orchestrator.store.delta import DeltaLabelStore
from tests.support.labelled_cells import cell_labels
from workers.messages.label import AttemptReport
from workers.messages.recipe import Recipe
from workers.messages.recipe_files import load_recipe
from workers.messages.shared_recipe import load_shared_recipe

NETWORKS, AUDITED = 16, 12


def relabelled(
    report: AttemptReport, fidelity: str, recipe: Recipe, value: float, metrics: dict[str, float]
) -> AttemptReport:
    """Return the report as if another recipe had given another label."""
    request, measured = replace(report.job.request, fidelity=fidelity, recipe=recipe), report.measurement
    assert measured is not None
    job = replace(report.job, request=request)
    return replace(report, job=job, measurement=replace(measured, value=value, metrics=metrics))


def audited_store(folder: Path) -> DeltaLabelStore:
    """Return a store in which full labels grow with FLOPs, and cheap ones do so with noise."""
    noise = np.random.default_rng(0).normal(size=NETWORKS)
    full, cheap = load_recipe("laptop", "seg", "nasbench201"), load_shared_recipe("laptop", "seg", "nasbench201")
    store = DeltaLabelStore(folder)
    for number, report in enumerate(cell_labels("seg", NETWORKS)):
        assert report.measurement is not None
        truth = 0.3 + 0.1 * float(np.log(report.measurement.flops / 5e7))
        value = truth / 2 + 0.02 * float(noise[number])
        reports = [relabelled(report, "shared", cheap, value, {"miou": value})]
        if number < AUDITED:
            reports.append(relabelled(report, "full", full, truth, {"miou": truth}))
        store.commit(reports)
    return store
