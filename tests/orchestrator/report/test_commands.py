"""A report names the commands that make its labels again."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shlex
from collections.abc import Sequence

import pytest

from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.plan import plan_campaign
from orchestrator.cli.options import recipe_overrides
from orchestrator.report.commands import reproducing_command
from orchestrator.report.comparable import ComparableLabels, group_labels
from orchestrator.store.schema import report_rows
from tests.support.reported_store import latency
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Measurement, Outcome


def group_of(requests: Sequence[LabelRequest]) -> ComparableLabels:
    measured = Measurement(0.5, "miou", {}, 1e9, 1e6, {})
    made = [AttemptReport(LabelJob(request, "c"), Outcome.OK, "", "n", 1.7e9, 1.0, measured) for request in requests]
    (group,) = group_labels(report_rows(made).labels)
    return group


def asked_again(command: str) -> CampaignConfig:
    """Return the configuration of a `label` command."""
    words = shlex.split(command)
    assert words[:2] == ["orchestrator", "label"]
    options = list(zip(words[2::2], words[3::2], strict=True))
    fields: dict[str, object] = {name[2:]: value for name, value in options if name != "--set"}
    return CampaignConfig.checked(**fields, set=recipe_overrides([value for name, value in options if name == "--set"]))


@pytest.mark.parametrize(
    "fields",
    [
        {"task": "seg", "fidelity": "full", "num": 5},
        {"task": "pose", "fidelity": "full", "num": 3, "repeat": 2, "seed": 4, "sample": "uniform"},
        {
            "task": "seg",
            "fidelity": "shared",
            "num": 2,
            "set": {"steps": 40, "supernet": {"steps": 1000, "data": "shapes:seed=2"}},
        },
        {"task": "det", "fidelity": "full", "num": 2, "set": {"steps": 400, "body": {"cells": 2}, "lr": 0.001}},
        {"task": "seg", "fidelity": "proxy", "num": 4},
    ],
)
def test_the_command_makes_the_same_requests(fields: dict[str, object]) -> None:
    requests = plan_campaign(CampaignConfig.checked(**fields)).requests
    command = reproducing_command(group_of(requests), "my labels")
    assert "--store 'my labels'" in command
    assert {request.key for request in plan_campaign(asked_again(command)).requests} == {r.key for r in requests}


def test_networks_that_no_sample_has_are_listed_in_a_file() -> None:
    requests = plan_campaign(CampaignConfig.checked(task="seg", fidelity="full", num=5)).requests
    lines = reproducing_command(group_of(requests[1:]), "labels").splitlines()
    assert lines[0].endswith("--out networks.csv")
    assert lines[1].endswith("--architectures networks.csv")
    assert "--num" not in lines[1]


def test_a_recipe_that_is_not_in_the_package_is_a_file() -> None:
    requests = plan_campaign(CampaignConfig.checked(task="seg", fidelity="full", num=3)).requests
    changed = [
        dataclasses.replace(request, recipe=request.recipe.model_copy(update={"name": "mine; rm -rf /"}))
        for request in requests
    ]
    group = group_of(changed)
    assert "--recipe recipe.yaml --seed 0" in reproducing_command(group, "labels")
    assert json.loads(group.recipe)["name"] == "mine; rm -rf /"
    shared = dataclasses.replace(group, fidelity="shared")
    assert reproducing_command(shared, "labels") == "# no options of this version give the recipe below"


def test_imported_and_measured_labels_have_commands_too() -> None:
    measured = [latency(number) for number in range(2)]
    (group,) = group_labels(report_rows(measured).labels)
    assert reproducing_command(group, "labels").startswith("orchestrator latency MODEL --store labels")
    published = dataclasses.replace(group, fidelity="published")
    assert reproducing_command(published, "labels") == "orchestrator import FILE.csv --store labels"


def test_companion_tasks_are_labelled_with_their_main_task() -> None:
    config = CampaignConfig.checked(task="pano", also="det", fidelity="full", num=2)
    requests = list(itertools.chain.from_iterable(request.companions for request in plan_campaign(config).requests))
    command = reproducing_command(group_of(requests), "labels")
    again = plan_campaign(asked_again(command)).requests
    assert {key for request in again for key in request.keys} >= {request.key for request in requests}
