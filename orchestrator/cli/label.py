"""`orchestrator label`: sample, label on Ray actors, stream into the store. A re-run goes on where it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.options import recipe_overrides
from orchestrator.cli.output import emit, preparation_display, progress_display, say
from orchestrator.errors import ConfigError
from orchestrator.labelling import run_on_ray
from orchestrator.place import beside
from orchestrator.plan import CampaignConfig, load_config, plan_campaign
from orchestrator.store.committer_process import CommitterProcess
from orchestrator.store.delta import DeltaLabelStore
from orchestrator.summary import summarise
from workers.spool import Spool


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
    fidelity: Annotated[str, typer.Option(help="how a label is made: full, shared or proxy")] = "full",
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
    plan = plan_campaign(config)
    labels = DeltaLabelStore(config.store)
    labels.keys()  # a store that cannot be read is refused before anything is written beside it
    spool = Spool(beside(config.store, "spool"))
    committer = CommitterProcess(config.store, spool.directory)
    if spool.pending():  # what an earlier run finished but could not commit
        committer.drain()
    every = [*plan.requests, *plan.audit]
    stored, failed = labels.keys(), labels.finally_failed()
    todo = [r for r in every if not stored.issuperset(r.keys) and (config.retry_failed or r.key not in failed)]
    say(f"{len(every)} labels asked for, {len(every) - len(todo)} already settled, {len(todo)} to make")
    try:
        progress, dashboard = None, None
        if todo:
            progress, dashboard = run_on_ray(config, todo, committer, spool, progress_display, preparation_display)
    finally:
        committer.close()
    if progress is not None and progress.problem:
        say(f"stopped: {progress.problem}")
    summary = summarise(config, plan, labels, progress, dashboard)
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
