"""`orchestrator demo`: label, train, predict, check and report on built-in data, in a few minutes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.campaign.config import CampaignConfig
from orchestrator.cli.options import Json
from orchestrator.cli.output import emit, emit_rows, say, stages_display
from orchestrator.cli.tables import Column
from orchestrator.errors import ConfigError

_TASK = "seg"
_LEARNED, _CHECKED = 16, 8  # networks that the predictor learns from, and networks that it is checked with
_COLUMNS = (Column("genotype", "architecture"), Column("predicted"), Column("deviation"), Column("measured"))


def demo(
    folder: Annotated[Path, typer.Option(help="Folder of the label store, the predictor and the report.")] = Path(
        "demo"
    ),
    json: Json = False,
) -> None:
    """Label 16 networks, train the predictor on them, predict 8 others, label these too, and write a report.

    It takes about three minutes on two cores. Run it again and it continues where it stopped.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--folder {folder}: is a file: name a folder")
    began = time.monotonic()
    store, predictors, report = str(folder / "labels"), folder / "predictors", folder / "report.html"
    first = CampaignConfig.checked(task=_TASK, num=_LEARNED, store=store)
    every = first.model_copy(update={"num": _LEARNED + _CHECKED})
    # Torch, mmdet and Ray take seconds to load; --help and wrong options do without.
    from orchestrator.cli.campaign import print_summary, run_to_the_end
    from orchestrator.cli.report import write_report
    from orchestrator.ray_runtime.session import ray_session

    with ray_session():
        _say_step(1, f"orchestrator label --task {_TASK} --num {_LEARNED} --store {store}")
        summary = run_to_the_end(first)
        _stop_if_missing(summary)
        if not json:
            print_summary(summary, json)
        _say_step(2, f"orchestrator train --base shipped --store {store} --predictors {predictors}")
        generation = _train(store, predictors)
        _say_step(3, f"orchestrator predict nasbench201:GENOTYPE ... --task {_TASK} --predictors {predictors}")
        rows = _predict(every, generation)
        _say_step(4, f"orchestrator label --task {_TASK} --num {every.num} --store {store}")
        _stop_if_missing(run_to_the_end(every))
    checked = _with_measured(rows, store)
    if not json:
        emit_rows(checked, json, _COLUMNS, "predicted before they were labelled")
    _say_step(5, f"orchestrator report --store {store} --predictors {predictors} --out {report}")
    written = write_report(store, predictors, report)
    document = _agreement(checked) | {"report": str(report), "labels": written["labels"]}
    emit(document | ({"networks": checked} if json else {}) | {"seconds": time.monotonic() - began}, json)
    say(f"find the best network within a limit: orchestrator search --task {_TASK} --store {store} --max-flops 60%")


def _say_step(number: int, command: str) -> None:
    say(f"\n{number} of 5: {command}")


def _stop_if_missing(summary: dict[str, Any]) -> None:
    """End the demo if a label is missing, with the reason and exit code 1."""
    if summary["missing"]:
        from orchestrator.campaign.missing import describe_failures

        say(describe_failures(summary["failures"]) or f"{summary['missing']} labels are missing")
        raise typer.Exit(1)


def _train(store: str, predictors: Path) -> Path:
    """Return the folder of a generation that extends the shipped one by the labels; it is trained once."""
    from orchestrator.predictors.generations import LATEST, SHIPPED
    from orchestrator.predictors.training import TrainingRequest, train_predictor
    from orchestrator.store.delta import DeltaLabelStore

    if (predictors / LATEST).exists():
        say(f"{predictors} has a generation already")
        return predictors / LATEST
    request = TrainingRequest(store, DeltaLabelStore(store).version(), "default", 0, 1, 0.0, base=SHIPPED)
    with stages_display("training") as show:
        made, _ = train_predictor(request, predictors, show)
    return made


def _predict(config: CampaignConfig, generation: Path) -> list[dict[str, Any]]:
    """Return the predictions for the campaign's last networks, which the predictor did not learn from."""
    from orchestrator.campaign.plan import plan_campaign
    from orchestrator.published.answers import Question, answer_question
    from predictor import Predictor

    asked = [request.architecture for request in plan_campaign(config).requests[_LEARNED:]]
    names = tuple(f"{config.space}:{architecture.genotype}" for architecture in asked)
    answer = answer_question(Predictor.load(generation), Question(names, config.task, config.data))
    return [
        {"id": one.id, "genotype": one.genotype, "predicted": row["mean"], "deviation": row["deviation"]}
        for one, row in zip(asked, answer.rows, strict=True)
    ]


def _with_measured(rows: list[dict[str, Any]], store: str) -> list[dict[str, Any]]:
    """Return the rows with the labels that were measured afterwards, the best prediction first."""
    from orchestrator.store.delta import DeltaLabelStore

    labels = DeltaLabelStore(store).labels(task=_TASK).select(["architecture", "value"]).to_pylist()
    measured = {label["architecture"]: label["value"] for label in labels}
    return sorted((row | {"measured": measured[row["id"]]} for row in rows), key=lambda row: -float(row["predicted"]))


def _agreement(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Compare predictions with measurements: rank correlation and mean error in the metric."""
    import numpy as np

    from orchestrator.predictors.ranking import known_rank_correlation

    predicted, measured = (np.array([row[name] for row in rows]) for name in ("predicted", "measured"))
    return {
        "rank_correlation": known_rank_correlation(predicted, measured),
        "mean_error": float(np.abs(predicted - measured).mean()),
    }
