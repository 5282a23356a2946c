"""`orchestrator prepare`: pre-train the shared weights and the shared head ahead of a campaign."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from orchestrator.campaign.config import CampaignConfig
from orchestrator.cli.data_notes import data_notes
from orchestrator.cli.options import Json, options_from
from orchestrator.cli.output import emit, preparation_display
from orchestrator.ray_runtime.session import ray_session
from orchestrator.store.layout import artifacts_uri


@options_from(CampaignConfig, ("task", "space", "data", "recipe", "set", "store"))
def prepare(
    fields: Mapping[str, Any],
    without_shipped: Annotated[
        bool, typer.Option("--without-shipped", help="Train them also if they come with the package.")
    ] = False,
    json: Json = False,
) -> None:
    """Pre-train the shared weights and the shared head that labels of fidelity shared need. Existing ones are kept."""
    config = CampaignConfig.checked(**fields, fidelity="shared", num=1)
    # Torch and mmdet take seconds to load; --help and wrong options do without.
    from orchestrator.campaign.driver import prepare_missing
    from orchestrator.campaign.plan import plan_campaign, with_space_name

    config = with_space_name(config)
    with data_notes():
        plan = plan_campaign(config)
    began = time.monotonic()
    with ray_session():
        from orchestrator.ray_runtime.check import check_cluster, node_needs  # Ray takes seconds to import

        check_cluster(node_needs([artifacts_uri(config.store)], config.data, config.task))
        made = prepare_missing(config.store, plan.requests, preparation_display, shipped=not without_shipped)
    emit(
        {
            "task": config.task,
            "space": config.space,
            "made": made,
            "seconds": time.monotonic() - began,
            "artifacts": artifacts_uri(config.store),
        },
        json,
    )
