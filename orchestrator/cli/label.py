"""`orchestrator label`: sample, label on Ray actors, stream into the store. A re-run goes on where it stopped."""

from __future__ import annotations

import importlib
import logging
import math
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.progress import Progress
from orchestrator.campaign.run import run_campaign
from orchestrator.campaign.scaling import FixedWorkers
from orchestrator.cli.output import emit, progress_display, say
from orchestrator.errors import ConfigError
from orchestrator.plan import EVALUATORS, CampaignConfig, Plan, load_config, plan_campaign
from orchestrator.reliability import pivot, reliability
from orchestrator.store.committer_process import CommitterProcess
from orchestrator.store.delta import DeltaLabelStore
from workers.label import LabelRequest
from workers.recipe import Recipe
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
    fidelity: Annotated[str, typer.Option(help="how a label is made: full or proxy")] = "full",
    recipe: Annotated[str, typer.Option(help="a tier such as laptop, or a YAML file")] = "laptop",
    set_: Annotated[list[str] | None, typer.Option("--set", help="FIELD=VALUE of the recipe, YAML")] = None,
    seed: Annotated[int, typer.Option(help="of sample, initialisation and data order")] = 0,
    repeat: Annotated[int, typer.Option(help="seeds an architecture, to measure reliability")] = 1,
    sample: Annotated[str, typer.Option(help="stratified (by FLOPs) or uniform")] = "stratified",
    store: Annotated[str, typer.Option(help="folder or object-store URI")] = "labels",
    workers: Annotated[int | None, typer.Option(help="actors; as many as fit if unset")] = None,
    retry_failed: Annotated[bool, typer.Option(help="try labels again that failed for good")] = False,
    save_images: Annotated[int, typer.Option(help="pictures of predictions a label, in STORE/_images")] = 0,
    config_file: Annotated[
        Path | None, typer.Option("--config", help="YAML file of these options; the command line wins")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Label sampled architectures and stream the labels into the store."""
    given = {name: value for name, value in ctx.params.items() if _was_given(ctx, name)}
    fields = load_config(config_file) if config_file else {}
    if overrides := _overrides(given.pop("set_", None) or []):
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
    spool = Spool(_spool_folder(config.store))
    committer = CommitterProcess(config.store, spool.directory)
    if spool.pending():  # what an earlier run finished but could not commit
        committer.drain()
    stored, failed = labels.keys(), labels.finally_failed()
    todo = [r for r in plan.requests if not stored.issuperset(r.keys) and (config.retry_failed or r.key not in failed)]
    say(f"{len(plan.requests)} labels asked for, {len(plan.requests) - len(todo)} already settled, {len(todo)} to make")
    try:
        progress, dashboard = _run(config, plan, todo, committer, spool) if todo else (None, None)
    finally:
        committer.close()
    summary = summarise(config, plan, labels, progress, dashboard)
    emit(summary, json)
    raise typer.Exit(0 if summary["missing"] == 0 else 1)


def _custom_files(data: str, files: Mapping[str, Any]) -> str:
    """--train-json and --val-json as parts of the data's name, which workers open it by."""
    if not data.startswith("coco:"):
        raise ConfigError(f"--train-json and --val-json: are for --data coco:DIR, not {data}")
    return ",".join([data, *(f"{part}={path}" for part, path in files.items() if path)])


def _run(
    config: CampaignConfig, plan: Plan, todo: list[LabelRequest], committer: CommitterProcess, spool: Spool
) -> tuple[Progress, str | None]:
    ray: Any = importlib.import_module("ray")  # seconds to import, and not needed when nothing is to be done

    from orchestrator.campaign.ray_executor import ActorSpec, RayExecutor
    from orchestrator.telemetry import CampaignMetrics

    address = _connect(ray)
    try:
        recipe, resources = plan.recipe, dict(ray.cluster_resources())
        fit = workers_that_fit(recipe, resources)
        controller = CampaignController(todo, uuid.uuid4().hex[:12], FixedWorkers(config.workers or fit))
        folder = str(spool.directory.resolve())
        pictures = {"pictures": str(Path(config.store, "_images").resolve()), "save_images": config.save_images}
        arguments = pictures if config.save_images else {}
        evaluator = EVALUATORS[config.fidelity]
        spec = ActorSpec(config.task, config.space, evaluator, folder, recipe.cpus, recipe.gpus, arguments)
        metrics = CampaignMetrics(config.task, config.space)
        with progress_display(len(todo)) as show:

            def observe(progress: Progress) -> None:
                show(progress)
                metrics.observe(progress)

            def commit() -> None:
                metrics.committed(committer.drain())

            progress = run_campaign(controller, RayExecutor(spec), record=spool.put, commit=commit, observer=observe)
    finally:
        ray.shutdown()
    if progress.problem:
        say(f"stopped: {progress.problem}")
    return progress, address


def _connect(ray: Any) -> str | None:
    """Join the cluster of RAY_ADDRESS, or start a local one; gives the dashboard's address."""
    address = os.environ.get("RAY_ADDRESS")
    try:
        context = ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"RAY_ADDRESS={address}" if address else "a local Ray"
        text = " ".join(str(error).split())[:300]
        raise ConfigError(f"{where} cannot be used ({text}): start the cluster, or unset RAY_ADDRESS") from None
    return context.dashboard_url or None


def workers_that_fit(recipe: Recipe, resources: Mapping[str, float]) -> int:
    """How many actors of the recipe the cluster holds. Raises ConfigError where there is no room for one."""
    for field, kind, needed in (("cpus", "CPU", recipe.cpus), ("gpus", "GPU", recipe.gpus)):
        if needed > (there := resources.get(kind, 0.0)):
            remedy = f"choose another recipe, lower it with --set {field}=N, or use a larger cluster"
            raise ConfigError(
                f"recipe {recipe.name} needs {needed:g} {kind} a worker, the cluster has {there:g}: {remedy}"
            )
    fit = resources["CPU"] / recipe.cpus
    return math.floor(min(fit, resources["GPU"] / recipe.gpus) if recipe.gpus else fit)


def summarise(
    config: CampaignConfig, plan: Plan, store: DeltaLabelStore, progress: Progress | None, dashboard: str | None
) -> dict[str, Any]:
    """The final table's content: what the store now holds of this campaign's requests."""
    wanted = {key for request in plan.requests for key in request.keys}
    every = [r for r in store.labels(space=config.space).to_pylist() if r["key"] in wanted]
    rows = [r for r in every if r["task"] == config.task]
    values = sorted(row["value"] for row in rows)
    spread = _spread(rows)
    best = max(rows, key=lambda r: float(r["value"]), default=None)
    return {
        "task": config.task,
        "space": config.space,
        "data": config.data,
        "labels": len(rows),
        "missing": len(wanted) - len(every),
        "metric": best["metric"] if best else None,
        "best": {k: best[k] for k in ("architecture", "genotype", "value", "flops", "params")} if best else None,
        "lowest": spread["lowest"],
        "median": values[len(values) // 2] if values else None,
        "highest": spread["highest"],
        "seconds_a_label": sum(sum(s for _, s in r["seconds"]) for r in rows) / len(rows) if rows else None,
        "reliability": spread["reliability"],
        "also": {task: _spread([r for r in every if r["task"] == task]) for task in config.also},
        "utilisation": progress.utilisation if progress else None,
        "store": config.store,
        "version": store.version(),
        "dashboard": dashboard,
    }


def _spread(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Labels of one task: how many, from where to where, how reliable."""
    values = [row["value"] for row in rows]
    trust = reliability(pivot([(r["architecture"], r["seed"], r["value"]) for r in rows])) if rows else None
    ends = {"lowest": min(values, default=None), "highest": max(values, default=None)}
    return {"labels": len(rows), **ends, "reliability": asdict(trust) if trust else None}


def _was_given(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _overrides(pairs: list[str]) -> dict[str, object]:
    """FIELD=VALUE to a mapping; body.X=V and head.X=V reach into those sections."""
    fields: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set '{pair}': write FIELD=VALUE, for example steps=500")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"--set '{pair}': the value is not YAML") from None
        section, dot, inner = name.partition(".")
        if dot:
            inside = fields.setdefault(section, {})
            if not isinstance(inside, dict):
                raise ConfigError(f"--set '{pair}': {section} was set to a plain value before")
            inside[inner] = value
        else:
            fields[name] = value
    return fields


def _spool_folder(store: str) -> Path:
    """Beside a local store; for an object store, in the user's cache, since spooling needs an atomic rename."""
    if "://" not in store:
        return Path(store) / "_spool"
    name = "".join(c if c.isalnum() else "-" for c in store)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "aiop-orchestrator" / "spool" / name
