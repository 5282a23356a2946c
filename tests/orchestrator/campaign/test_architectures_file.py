"""Given architectures: files of names and genotypes of any space, and what is wrong with a file."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest

from orchestrator.campaign.architectures_file import read_architectures
from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.plan import CampaignPlan, plan_campaign
from orchestrator.errors import ConfigError
from workers.messages.architecture import Architecture
from workers.spaces import get_space

CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"


def write(folder: Path, content: str | list[Any], name: str = "given.csv") -> Path:
    path = folder / (name if isinstance(content, str) else "given.json")
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def plan(path: Path, **fields: Any) -> CampaignPlan:
    return plan_campaign(
        CampaignConfig.checked(**({"task": "seg", "fidelity": "full", "architectures": str(path)} | fields))
    )


def test_names_and_genotypes_in_csv_and_json_are_the_same(tmp_path: Path) -> None:
    elastic = get_space("mobilenetv3").sample(random.Random(0))
    names = ["timm:resnet18", f"nasbench201:{CELL}", f"mobilenetv3:{elastic.genotype}"]
    expected = (
        Architecture.of("zoo", {"model": "resnet18"}),
        get_space("nasbench201").parse(CELL),
        elastic,
    )
    with (tmp_path / "names.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["value", "model"], *(["0.5", name] for name in names)])
    with (tmp_path / "genotypes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["space", "genotype"], *((a.space, a.genotype) for a in expected)])
    objects = [{"space": a.space, "genotype": a.values} for a in expected]
    assert read_architectures(tmp_path / "names.csv") == expected
    assert read_architectures(tmp_path / "genotypes.csv") == expected
    assert read_architectures(write(tmp_path, [*names, *objects, {"model": names[0]}])) == expected  # each once


@pytest.fixture(scope="module")
def two_hundred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty networks of each of five spaces."""
    names = []
    for space in ("nasbench201", "mobilenetv3", "proxylessnas", "resnet50", "zoo"):
        for architecture, _ in zip(get_space(space).sequence(0), range(40), strict=False):
            names.append(f"{space}:{architecture.genotype}")
    return write(tmp_path_factory.mktemp("given"), names)


def test_two_hundred_networks_of_five_spaces_are_planned(two_hundred: Path) -> None:
    planned = plan(two_hundred)
    assert len(planned.requests) == 200
    assert planned.spaces == ("nasbench201", "mobilenetv3", "proxylessnas", "resnet50", "zoo")
    assert planned.requests[0].recipe.body != planned.requests[40].recipe.body  # as the recipe's section of each space
    # A given architecture has the same key as a sampled one.
    sampled = plan_campaign(CampaignConfig.checked(task="seg", fidelity="full", num=40, sample="uniform"))
    assert {r.key for r in sampled.requests} == {r.key for r in planned.requests[:40]}


def test_architectures_are_sampled_too_if_a_number_is_given(tmp_path: Path) -> None:
    path = write(tmp_path, "model\ntimm:resnet18\n")
    assert [r.architecture.space for r in plan(path).requests] == ["zoo"]
    both = plan(path, num=3, repeat=2)
    assert [r.architecture.space for r in both.requests] == ["zoo"] * 2 + ["nasbench201"] * 6
    again = write(tmp_path, [{"space": "nasbench201", "genotype": both.requests[2].architecture.values}])
    assert len(plan(again, num=3).requests) == 3  # a given one that is sampled too is labelled once


def test_labels_of_shared_weights_need_spaces_that_share_them(tmp_path: Path) -> None:
    path = write(tmp_path, "model\ntimm:resnet18\n")
    with pytest.raises(ConfigError, match="--space zoo: its networks share no weights"):
        plan(path, fidelity="shared")


BAD: dict[str, tuple[str | list[Any], str]] = {
    "empty": ("", "names no columns model"),
    "only a header": ("model\n", "has no architectures"),
    "an empty list": ([], "has no architectures"),
    "no known column": ("network\ntimm:resnet18\n", "names no columns model"),
    "space without genotype": ("space\nzoo\n", "names no columns model"),
    "an unknown space": ("model\nunknown:3\n", "unknown space 'unknown'"),
    "no space": ("model\nresnet18\n", "write SPACE:GENOTYPE"),
    "no genotype": ("model\nzoo:\n", "write SPACE:GENOTYPE"),
    "an unknown timm model": ("model\ntimm:resnet19\n", "must be a timm model"),
    "unknown timm weights": ("model\ntimm:resnet18.none\n", "timm has no weights"),
    "a timm model without a pyramid": ("model\ntimm:vit_tiny_patch16_224\n", "choose a hierarchical one"),
    "an address": ("model\ntimm:hf-hub:x/y\n", "must be a timm model"),
    "a cut cell": ("model\nnasbench201:|none~0|\n", "must list edges"),
    "an unknown operation": (f"model\nnasbench201:{CELL.replace('none', 'conv')}\n", "nasbench201"),
    "not JSON": ("model\nmobilenetv3:{\n", "is not JSON"),
    "JSON of a list": ("model\nmobilenetv3:[1]\n", "must be an object"),
    "outside the space": (["mobilenetv3:{}"], "mobilenetv3"),
    "a number": ([3], "3 is not a name"),
    "an empty object": ([{}], "names no architecture"),
    "a genotype alone": ([{"genotype": {"model": "resnet18"}}], "names no architecture"),
    "a space that is a number": ([{"space": 1, "genotype": {}}], "names no architecture"),
    "a line with too many columns": ("model,value\ntimm:resnet18,1,2\n", "2 columns are named"),
    "a line with too few columns": ("model,value\ntimm:resnet18\n", "2 columns are named"),
    "an open quote": ('model\n"timm:resnet18\n', "quote values"),
    "an object instead of a list": ('{"model": "timm:resnet18"}', "must be a list"),
    "a cut JSON file": ('["timm:resnet18",', "is not JSON"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_with_the_reason(kind: str, tmp_path: Path) -> None:
    content, message = BAD[kind]
    name = "given.json" if isinstance(content, str) and content.startswith(("{", "[")) else "given.csv"
    path = write(tmp_path, content, name)
    with pytest.raises(ConfigError, match=f"--architectures {path}") as caught:
        plan(path)
    assert message in str(caught.value)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path, write(tmp_path, "timm:resnet18\n", "names.txt")):
        with pytest.raises(ConfigError, match="--architectures"):
            read_architectures(path)
    (tmp_path / "binary.csv").write_bytes(b"model\n\xff\xfe\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_architectures(tmp_path / "binary.csv")


def test_all_bad_lines_are_listed_at_once(tmp_path: Path) -> None:
    lines = ["timm:resnet18", "timm:resnet19", f"nasbench201:{CELL}", "nowhere:1", *(f"timm:x{n}" for n in range(30))]
    with pytest.raises(ConfigError) as caught:
        read_architectures(write(tmp_path, "model\n" + "\n".join(lines)))
    problems = str(caught.value).splitlines()
    assert "32 cannot be used" in problems[0]
    assert problems[1].strip().startswith("line 3: zoo genotype {'model': 'resnet19'}")
    assert problems[2].strip().startswith("line 5: unknown space 'nowhere'")
    assert problems[-1].strip() == "and 12 more"
