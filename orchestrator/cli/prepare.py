"""`orchestrator prepare`: make the shared weights and the shared head that cheap labels start from."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from orchestrator.campaign.config import CampaignConfig
from orchestrator.cli.options import recipe_overrides
from orchestrator.cli.output import emit, preparation_display
from orchestrator.ray_runtime.session import ray_session
from orchestrator.store.layout import artifacts_of


def prepare(
    task: Annotated[str, typer.Option(help="cls, det, iseg, seg, pano or pose")],
    space: Annotated[str, typer.Option(help="search space")] = "nasbench201",
    data: Annotated[str, typer.Option(help="shapes, coco:DIR, masks:DIR or imagefolder:DIR")] = "shapes",
    recipe: Annotated[str, typer.Option(help="a tier such as laptop, or a YAML file")] = "laptop",
    set_: Annotated[list[str] | None, typer.Option("--set", help="FIELD=VALUE of the recipe, YAML")] = None,
    store: Annotated[str, typer.Option(help="folder or object-store URI")] = "labels",
    json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Prepare what labels of fidelity shared start from; what is there already is kept."""
    config = CampaignConfig.checked(
        task=task,
        space=space,
        data=data,
        recipe=recipe,
        store=store,
        set=recipe_overrides(set_ or []),
        fidelity="shared",
        num=1,
    )
    # Torch and mmdet take seconds to load; --help and wrong options do without.
    from orchestrator.campaign.driver import prepare_missing
    from orchestrator.campaign.plan import plan_campaign

    plan = plan_campaign(config)
    began = time.monotonic()
    with ray_session():
        from orchestrator.ray_runtime.check import check_cluster, node_needs  # Ray takes seconds to import

        check_cluster(node_needs([artifacts_of(store)], config.data, task))
        made = prepare_missing(config.store, plan.requests, preparation_display)
    emit(
        {
            "task": task,
            "space": space,
            "made": made,
            "seconds": time.monotonic() - began,
            "artifacts": artifacts_of(store),
        },
        json,
    )
