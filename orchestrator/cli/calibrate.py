"""`orchestrator calibrate`: estimate full labels from cheap ones, fitted to audited networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator.campaign.config import CampaignConfig
from orchestrator.cli.options import Json, options_from
from orchestrator.cli.output import counting_display, emit, say


@options_from(CampaignConfig, ("task", "space", "data", "store", "predictors"))
def calibrate(fields: Mapping[str, Any], json: Json = False) -> None:
    """Estimate the full label of every network that has a cheap one, and store it with fidelity calibrated.

    The predictor learns all cheap labels, which averages out their noise. Two regressions from its values to full
    labels, of which one also sees the graphs, are fitted to the networks of `label --audit`. The cheap labels stay.
    """
    config = CampaignConfig.checked(**fields)
    # Torch takes seconds to load; --help and wrong options do without.
    from orchestrator.campaign.calibrated_labels import calibrate as calibrate_labels
    from orchestrator.campaign.plan import with_space_name
    from orchestrator.store.delta import DeltaLabelStore

    config = with_space_name(config)
    store = DeltaLabelStore(config.store)
    question = config.task, config.space, config.data
    with counting_display("groups of audited networks estimated") as show:
        found = calibrate_labels(store, *question, Path(config.predictors), show)
    added = store.commit(found.reports)
    emit(
        {
            "task": config.task,
            "space": config.space,
            "data": config.data,
            "cheap": found.cheap,
            "full": found.full,
            "audited": found.audited,
            "ranking": asdict(found.ranking),
            "ranks": found.ranks,
            "covered": found.covered,
            "deviation": found.deviation,
            "labels": len(found.reports),
            "added": added.labels,
            "store": config.store,
        },
        json,
    )
    alone = {name: rho for name, rho in found.ranks.items() if rho is not None}
    best = max(alone, key=alone.__getitem__, default=None)
    if best is not None and (found.ranking.high is None or alone[best] > found.ranking.high):
        say(
            f"{best} alone ranks the audited networks by {alone[best]:.2f}, above the interval of the estimates: use it"
        )
