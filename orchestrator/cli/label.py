"""`orchestrator label`: sample architectures, label them on Ray actors, stream the labels into the store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.campaign.config import CampaignConfig, load_config
from orchestrator.cli.options import Json, options_from
from orchestrator.errors import ConfigError


@options_from(CampaignConfig)
def label(
    fields: Mapping[str, Any],
    train_json: Annotated[str | None, typer.Option(help="Annotations to train on, for coco:DIR.")] = None,
    val_json: Annotated[str | None, typer.Option(help="Annotations to evaluate on, for coco:DIR.")] = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", help="YAML file with these options; options on the command line override it."),
    ] = None,
    json: Json = False,
) -> None:
    """Label sampled, given or chosen architectures and stream the labels into the store. Run it again to continue."""
    merged = (load_config(config_file) if config_file else {}) | dict(fields)
    if train_json or val_json:
        merged["data"] = _custom_files(str(merged.get("data", "shapes")), {"train": train_json, "val": val_json})
    config = CampaignConfig.checked(**merged)
    # Torch and mmdet take seconds to load; --help and wrong options do without.
    from orchestrator.cli.campaign import print_summary, run_to_the_end

    if config.in_rounds:
        from orchestrator.cli.rounds import run_in_rounds

        summary = run_in_rounds(config)
    else:
        summary = run_to_the_end(config)
    print_summary(summary, json)
    raise typer.Exit(0 if summary["missing"] == 0 else 1)


def _custom_files(data: str, files: Mapping[str, str | None]) -> str:
    """The data set's name with --train-json and --val-json appended, the form that workers open."""
    if not data.startswith("coco:"):
        raise ConfigError(f"--train-json and --val-json work with --data coco:DIR only, not with {data}")
    return ",".join([data, *(f"{part}={path}" for part, path in files.items() if path)])
