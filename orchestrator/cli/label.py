"""`orchestrator label`: sample, label on Ray actors, stream into the store. A re-run goes on where it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.campaign.config import CampaignConfig, load_config
from orchestrator.cli.options import recipe_overrides
from orchestrator.cli.output import emit
from orchestrator.errors import ConfigError


def label(
    ctx: typer.Context,
    task: Annotated[str | None, typer.Option(help="cls, det, iseg, seg, pano or pose")] = None,
    also: Annotated[
        str, typer.Option(help="further tasks that the same training answers: --task pano --also det,iseg,seg")
    ] = "",
    space: Annotated[str, typer.Option(help="search space")] = "nasbench201",
    num: Annotated[int, typer.Option(help="architectures to label")] = 8,
    data: Annotated[str, typer.Option(help="shapes, coco:DIR, masks:DIR or imagefolder:DIR")] = "shapes",
    train_json: Annotated[str | None, typer.Option(help="annotations to learn from, for coco:DIR")] = None,
    val_json: Annotated[str | None, typer.Option(help="annotations to evaluate on, for coco:DIR")] = None,
    fidelity: Annotated[
        str, typer.Option(help="how a label is made: shared (a short fine-tune), full (from scratch) or proxy")
    ] = "shared",
    recipe: Annotated[str, typer.Option(help="a tier such as laptop, or a YAML file")] = "laptop",
    set_: Annotated[list[str] | None, typer.Option("--set", help="FIELD=VALUE of the recipe, YAML")] = None,
    seed: Annotated[int, typer.Option(help="of sample, initialisation and data order")] = 0,
    repeat: Annotated[int, typer.Option(help="seeds an architecture, to measure reliability")] = 1,
    sample: Annotated[str, typer.Option(help="stratified (by FLOPs) or uniform")] = "stratified",
    store: Annotated[str, typer.Option(help="folder or object-store URI")] = "labels",
    workers: Annotated[int | None, typer.Option(help="actors; as many as fit if unset")] = None,
    retry_failed: Annotated[bool, typer.Option(help="try labels again that failed for good")] = False,
    audit: Annotated[
        int, typer.Option(help="architectures to label at fidelity full too, to see how well the labels rank")
    ] = 0,
    save_images: Annotated[int, typer.Option(help="pictures of predictions a label, in STORE/_images")] = 0,
    refresh_every: Annotated[
        int, typer.Option(help="new labels after which the predictor learns them, beside labelling; 0: never")
    ] = 0,
    predictors: Annotated[str, typer.Option(help="folder of the predictor's generations, for --refresh-every")] = (
        "predictors"
    ),
    config_file: Annotated[
        Path | None, typer.Option("--config", help="YAML file of these options; the command line wins")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Label sampled architectures and stream the labels into the store."""
    given = {name: value for name, value in ctx.params.items() if _was_given(ctx, name)}
    fields = load_config(config_file) if config_file else {}
    if overrides := recipe_overrides(given.pop("set_", None) or []):
        given["set"] = overrides
    if "also" in given:
        given["also"] = tuple(filter(None, given["also"].split(",")))
    files = {part: given.pop(f"{part}_json", None) for part in ("train", "val")}
    if any(files.values()):
        given["data"] = _custom_files(str(given.get("data", fields.get("data", "shapes"))), files)
    config = CampaignConfig.checked(**(fields | {k: v for k, v in given.items() if k not in {"json", "config_file"}}))
    # Torch and mmdet take seconds to load; --help and wrong options do without.
    from orchestrator.cli.campaign import run_to_the_end

    summary = run_to_the_end(config)
    emit(summary, json)
    raise typer.Exit(0 if summary["missing"] == 0 else 1)


def _custom_files(data: str, files: Mapping[str, Any]) -> str:
    """--train-json and --val-json as parts of the data's name, which workers open it by."""
    if not data.startswith("coco:"):
        raise ConfigError(f"--train-json and --val-json: are for --data coco:DIR, not {data}")
    return ",".join([data, *(f"{part}={path}" for part, path in files.items() if path)])


def _was_given(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
