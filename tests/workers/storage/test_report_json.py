"""Reports as JSON: the round trip, and files that earlier versions wrote."""

import json
from dataclasses import replace

import pytest

from tests.support.store_reports import report
from workers.messages.architecture import Architecture
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Measurement, Outcome
from workers.messages.recipe import Recipe
from workers.storage.report_json import report_file_name, report_from_json, report_to_json

# A spool file as version 0.1 wrote it.
_NAME = "775199c3d8bf6e5a77ce17ec03996bd7-c1%2F%C3%A9-2.json"
_CONTENT = (
    '{"request": {"space": "nasbench201", "genotype": "{\\"ops\\":[\\"none\\",\\"none\\",\\"none\\",\\"none\\",'
    '\\"none\\",\\"none\\"]}", "task": "pano", "data": "shapes", "fingerprint": "f00d", "fidelity": "full", '
    '"recipe": {"name": "pano.laptop", "version": 1, "task": "pano", "input_size": [96, 128], "steps": 360, '
    '"batch": 16, "lr": 0.003, "weight_decay": 0.01, "warmup": 0.1, "schedule": "cosine", "ema": 0.99, '
    '"clip_norm": 5.0, "zoom": 1.0, "zoom_below": null, "passes": null, "train_images": 64, "eval_images": null, '
    '"precision": "float32", "channels_last": true, "body": {}, "head": {"width": 16}, "cpus": 2.0, "gpus": 0.0, '
    '"memory_mb": 0, "time_limit_s": 1800.0, "cache_mb": 1024}, "seed": 3, "also": ["seg"]}, '
    '"campaign": "c1/\\u00e9", "attempt": 2, "split": 4, "outcome": "ok", "message": "", "node": "node-1", '
    '"started": 1700000000.5, "seconds": 4.25, "final": false, "measurement": {"value": 0.25, "metric": "pq", '
    '"metrics": {"pq": 0.25}, "flops": 1500000000.0, "params": 3000000.0, "seconds": {"train": 3.5, "data": 0.25}, '
    '"also": {"seg": {"value": 0.5, "metric": "miou", "metrics": {"miou": 0.5, "acc": 0.75}, "flops": 1000000000.0, '
    '"params": 2000000.0, "seconds": {}, "also": {}, "graph": '
    '"{\\"version\\":1,\\"input_size\\":[3,8,8],\\"nodes\\":[]}"}}, "graph": ""}}'
)
_GRAPH = '{"version":1,"input_size":[3,8,8],"nodes":[]}'


def _same_report() -> AttemptReport:
    recipe = Recipe(name="pano.laptop", task="pano", head={"width": 16}, train_images=64, cpus=2)
    architecture = Architecture.of("nasbench201", {"ops": ["none"] * 6})
    request = LabelRequest(architecture, "pano", "shapes", "f00d", "full", recipe, 3, ("seg",))
    seg = Measurement(0.5, "miou", {"miou": 0.5, "acc": 0.75}, 1e9, 2e6, {}, graph=_GRAPH)
    pano = Measurement(0.25, "pq", {"pq": 0.25}, 1.5e9, 3e6, {"train": 3.5, "data": 0.25}, {"seg": seg})
    return AttemptReport(LabelJob(request, "c1/é", 2, 4), Outcome.OK, "", "node-1", 1700000000.5, 4.25, pano)


def test_a_file_of_version_0_1_is_read_and_written_byte_for_byte() -> None:
    assert report_from_json(_CONTENT) == _same_report()
    document = json.loads(report_to_json(_same_report()))
    recipe = document["request"]["recipe"]
    added = [name for name in recipe if name not in json.loads(_CONTENT)["request"]["recipe"]]
    assert all(recipe.pop(name) == json.loads(json.dumps(Recipe.model_fields[name].default)) for name in added)
    assert json.dumps(document) == _CONTENT
    assert report_file_name(_same_report()) == _NAME


def test_the_declaration_of_a_users_space_is_kept() -> None:
    declared = replace(report().job.request, architecture=Architecture.of("mynets", {"a": 1}, "0b5785a4a819"))
    written = replace(report(), job=LabelJob(declared, "c"))
    assert report_from_json(report_to_json(written)).job.request.architecture == declared.architecture
    assert report_from_json(report_to_json(written)).job.request.key == declared.key


def test_the_reason_of_a_choice_is_kept_and_changes_no_key() -> None:
    chosen = replace(report().job.request, reason="diverse: 1.8 from the nearest")
    written = replace(report(), job=LabelJob(chosen, "c"))
    assert report_from_json(report_to_json(written)).job.request == chosen
    assert chosen.key == report().job.request.key
    assert "reason" not in report_to_json(report())


def test_files_without_the_fields_of_companions_and_graphs_are_read() -> None:
    document = json.loads(report_to_json(report()))
    del document["request"]["also"], document["measurement"]["also"], document["measurement"]["graph"]
    assert report_from_json(json.dumps(document)) == report()


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_report_survives_the_round_trip(outcome: Outcome) -> None:
    before = report(seed=7, outcome=outcome, attempt=2, final=outcome is not Outcome.OK)
    after = report_from_json(report_to_json(before))
    assert after == before
    assert after.job.request.key == before.job.request.key
    assert after.job.attempt_id == before.job.attempt_id


@pytest.mark.parametrize("outcome", ["ok", "crash"])
def test_a_measurement_belongs_to_success_alone(outcome: str) -> None:
    document = json.loads(report_to_json(report(outcome=Outcome.CRASH if outcome == "ok" else Outcome.OK)))
    with pytest.raises(ValueError, match="a report has a measurement exactly when it succeeded"):
        report_from_json(json.dumps(document | {"outcome": outcome}))
