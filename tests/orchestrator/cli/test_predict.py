"""`orchestrator predict` builds what a label is of, and says what was built and whose labels it answers for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictor.generation import read_generation, write_generation
from predictor.graph import trace
from predictor.networks.examples import TEST_FOLD, folds
from tests.support.exit_codes import exit_code
from tests.support.in_process_training import use_few_epochs
from tests.support.labelled_cells import cell_labels, published_labels, renamed, train_on
from workers.messages.architecture import Architecture
from workers.messages.label import AttemptReport
from workers.messages.recipe_files import load_recipe

Run = Callable[..., tuple[int, Any, str]]


def cells(count: int) -> list[str]:
    """Return the names of cells that are trained on."""
    return ["nasbench201:" + label.job.request.architecture.genotype for label in trained_on()[:count]]


def trained_on() -> list[AttemptReport]:
    """Return the labels of cells that are not held out."""
    labels = cell_labels("pose", 40)
    held_out = folds(np.array([label.job.request.architecture.id for label in labels])) == TEST_FOLD
    return [label for label, out in zip(labels, held_out, strict=True) if not out]


def first_cost() -> tuple[float, float]:
    """Return FLOPs and parameters of the first cell, as its label has them."""
    measured = trained_on()[0].measurement
    assert measured is not None
    return measured.flops, measured.params


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generation 1: cells on shapes by two recipes that disagree, and published results of three tasks."""
    made = tmp_path_factory.mktemp("predict")
    with pytest.MonkeyPatch.context() as patch:
        from predictor.models.transfer import TransferModel

        patch.setattr(TransferModel, "fit_settings", TransferModel.fit_settings)
        use_few_epochs()
        train_on(
            [
                *cell_labels("pose", 40),
                *renamed(cell_labels("pose", 40)[:36], "pose.other", value_sign=-1.0),
                *published_labels("cls", "imagenet-1k", "timm", 40, (192, 192)),
                *published_labels("seg", "ade20k", "mmseg", 40, (512, 512), first=40),
                *published_labels("cls", "cifar10", "nasbench201", 6, (32, 32), first=90),
            ],
            made,
        )
    return made


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> tuple[int, Any, str]:
        code = exit_code(monkeypatch, "predict", *arguments)
        printed = capsys.readouterr()
        document = json.loads(printed.out) if "--json" in arguments and printed.out else printed.out
        return code, document, printed.err

    return run


def test_a_cell_is_built_as_its_labels_were(run: Run) -> None:
    code, (row,), said = run(*cells(1), "--task", "pose", "--json")
    assert code == 0
    assert (row["flops"], row["params"]) == first_cost()
    assert row["network"] == "nasbench201 + deconvolution, 96x96"
    assert (row["head"], row["recipe"], row["input_size"]) == ("deconvolution", "pose.laptop", [96, 96])
    assert (row["data"], row["labels"]["recipe"]) == ("shapes", "pose.laptop")
    assert (row["distance"], row["far"]) == (0, False)
    assert "labels: pose on shapes, full pose.laptop: " in said


def test_another_backbone_gets_the_same_head(run: Run) -> None:
    from orchestrator.predictors.labelled_networks import build_for_task, data_size

    recipe, resnet = load_recipe("laptop", "pose", "zoo"), Architecture.of("zoo", {"model": "resnet18"})
    expected = trace(build_for_task(resnet, recipe, "pose", data_size("shapes", "pose")), (3, *recipe.input_size))
    names = ["timm:resnet18", "zoo:resnet18", "timm:resnet18.a1_in1k"]
    _, rows, _ = run(*names, "--task", "pose", "--json")
    assert [(row["flops"], row["params"]) for row in rows] == [(expected.flops, expected.params)] * 3
    assert rows[0]["far"]
    assert rows[0]["distance"] > 1


def test_sets_that_disagree_are_named_with_the_option_that_chooses(run: Run) -> None:
    _, rows, said = run(*cells(6), "--task", "pose", "--json")
    assert "the other way round: pose on shapes, full pose.other" in said
    assert "choose with --data shapes --recipe pose.other" in said
    assert any("other way round" in note for note in rows[0]["notes"])
    _, others, said = run(*cells(6), "--task", "pose", "--recipe", "pose.other", "--json")
    assert "way round" not in said
    assert others[0]["labels"]["recipe"] == "pose.other"
    rising, falling = ([row["mean"] for row in answer] for answer in (rows, others))
    assert rising != falling


def test_published_labels_are_of_the_networks_they_name(run: Run) -> None:
    _, (row, cell), said = run("timm:resnet18", *cells(1), "--task", "cls", "--json")
    assert (row["network"], row["recipe"], row["params"]) == ("resnet18 + own head, 192x192", None, 11689512)
    assert row["data"] == "imagenet-1k"
    assert "labels: cls on imagenet-1k, published: " in said
    assert cell["network"] == "nasbench201 + own head, 224x224"  # none of these labels is of a cell
    _, (row,), _ = run(*cells(1), "--task", "cls", "--data", "cifar10", "--json")
    assert row["network"] == "nasbench201 + own head, 32x32"


def test_a_backbone_gets_the_head_of_the_most_common_protocol(run: Run) -> None:
    _, (row,), _ = run("timm:resnet18", "--task", "seg", "--json")
    assert (row["network"], row["recipe"]) == ("resnet18 + semantic_fpn, 512x512", "seg.ade20k")
    _, (small,), _ = run("timm:resnet18", "--task", "seg", "--input-size", "64x96", "--json")
    assert (small["input_size"], small["params"]) == ([64, 96], row["params"])
    _, (bare,), _ = run("timm:resnet18", "--task", "seg", "--head", "none", "--json")
    assert (bare["network"], bare["head"], bare["params"]) == ("resnet18 + own head, 512x512", None, 11689512)
    _, (own,), said = run("timm:resnet18", "--task", "seg", "--recipe", "laptop", "--json")
    assert own["recipe"] == "seg.laptop"
    assert own["params"] != row["params"]
    assert "note: built by --recipe laptop; the predictions are for seg on ade20k" in said


def test_without_a_predictor_the_one_of_the_package_answers(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    code, (row,), said = run("timm:resnet50", "--task", "seg", "--json")
    assert code == 0
    assert "predictor: comes with the package" in said
    assert (row["network"], row["data"]) == ("resnet50 + semantic_fpn, 512x512", "ade20k")
    assert 0.25 < row["mean"] < 0.5  # mIoU
    assert row["deviation"] < 0.1
    code, printed, said = run("timm:resnet50", "--task", "seg", "--predictors", "none")
    assert (code, printed) == (2, "")
    assert "predictor none/latest: does not exist" in said


def test_one_wrong_name_loses_no_answer(run: Run) -> None:
    names = ["timm:resnet18", "timm:vit_tiny_patch16_224", "timm:resnet_18", *cells(1)]
    code, rows, said = run(*names, "--task", "pose", "--json")
    assert code == 1
    assert [row["model"] for row in rows] == names
    assert [row["error"] is None for row in rows] == [True, False, False, True]
    assert "not 4, 8, 16 and 32: choose a hierarchical one" in rows[1]["error"]
    assert "timm:resnet_18: not predicted: zoo genotype {'model': 'resnet_18'}: 'model' must be a timm model" in said
    code, table, _ = run(*names, "--task", "pose")
    assert code == 1
    assert [line.split(":")[0] for line in table.splitlines()[1:]] == ["timm", "nasbench201"]
    assert " far " in table


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["timm:resnet18", "--task", "seg", "--recipe", "mainframe"], "unknown recipe for task seg 'mainframe'"),
        (["timm:resnet18", "--task", "seg", "--recipe", "det.1x"], "--recipe det.1x: is for task det, not seg"),
        (["timm:resnet18", "--task", "seg", "--recipe", "/no.yaml"], "No such file"),
        (["timm:resnet18", "--task", "seg", "--head", "none", "--recipe", "gpu"], "--recipe gpu name two heads: leave"),
        (["timm:resnet18", "--task", "seg", "--head", "big"], "--head big: write none, or choose"),
        (["timm:resnet18", "--task", "det"], "task det: there are no labels, only of"),
        (["timm:resnet18", "--task", "seg", "--data", "x"], "task seg on x: there are no labels, only of"),
        (["timm:resnet18", "--task", "cls", "--data", "cifar10"], "are of whole networks of nasbench201: name one"),
        (["timm:vit_tiny_patch16_224", "--task", "pose"], "choose a hierarchical one"),
        (["resnet18", "--task", "seg"], "model 'resnet18': write timm:..."),
        (
            ["timm:vit_tiny_patch16_224", "--task", "cls", "--input-size", "100"],
            "vit_tiny_patch16_224: cannot run on an image of 3x100x100",
        ),
    ],
)
def test_user_errors_are_one_line(run: Run, arguments: list[str], says: str) -> None:
    code, printed, said = run(*arguments)
    assert (code, printed) == (2, "")
    assert says in said
    assert said.count("\n") == 1


def test_an_old_generation_names_the_remedy(run: Run, folder: Path) -> None:
    """Written before sets, networks and training graphs were recorded."""
    kept = read_generation(folder / "predictors" / "000001")
    sets = tuple(dataclasses.replace(one, kind=(), networks=None) for one in kept.metadata.sets)
    metadata = dataclasses.replace(kept.metadata, sets=sets)
    old = dataclasses.replace(kept, metadata=metadata, references=[], widening={})
    if not (folder / "old" / "latest").exists():
        write_generation(folder / "old" / "latest", old)
    code, _, said = run(*cells(1), "--task", "pose", "--predictors", "old")
    assert code == 2
    assert "does not record how their networks are built: train it again, or choose with --recipe" in said
    code, (row,), said = run(*cells(1), "--task", "pose", "--predictors", "old", "--recipe", "laptop", "--json")
    assert code == 0
    assert (row["flops"], row["params"]) == first_cost()  # the data set is on this machine
    assert (row["distance"], row["far"]) == (None, None)
    assert "the distance from the training graphs is unknown" in said
    code, _, said = run(*cells(1), "--task", "pose", "--predictors", "old", "--head", "none")
    assert code == 2
    assert "does not record the image size of its labels of pose on shapes: give --input-size" in said
