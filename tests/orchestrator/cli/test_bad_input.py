"""Every mistake is one line on stderr that says what is wrong and what to do, exit code 2, and no worker starts."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import ray
import torch
import typer
from onnx import TensorProto, helper
from PIL import Image
from torch import nn

from orchestrator.cli import status
from orchestrator.cli.app import app
from predictor.generation import Generation, write_generation
from predictor.metadata import GenerationMetadata
from tests.support.exit_codes import exit_code

FIXTURE = Path(__file__).parents[1] / "store" / "fixtures" / "v1"


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit code of the program in this process. Starting Ray is an error."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a worker was about to start")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setattr(status, "cluster_summary", dict)  # which would join one
    return exit_code(monkeypatch, *arguments)


CASES = [
    ([], "--task is missing: choose one of cls, det, iseg, pano, pose, seg"),
    (["--config", "/nowhere.yaml"], "No such file or directory: name a readable YAML file"),
    (["--task", "sge"], "unknown task 'sge': choose one of cls, det, iseg, pano, pose, seg"),
    (["--task", "seg", "--space", "resnet"], "unknown space 'resnet': choose one of mnasnet, mobilenetv3, nasbench201"),
    (
        ["--task", "seg", "--also", "det"],
        "--also det: not available with --task seg: --also works only with --task pano",
    ),
    (["--task", "pano", "--also", "pose"], "--also pose: not available with --task pano: choose from det, iseg"),
    (["--task", "seg", "--train-json", "x.json"], "--train-json and --val-json work with --data coco:DIR only"),
    (["--task", "det", "--data", "coco:/nowhere"], "/nowhere does not exist"),
    (["--task", "det", "--set", "head.width=17"], "multiple of 16"),
    (["--task", "seg", "--data", "shpaes"], "unknown data format 'shpaes': choose one of"),
    (["--task", "seg", "--data", "shapes:x=1"], "is not one of seed=N"),
    (["--task", "seg", "--data", "shapes:train=0"], "a split would be empty"),
    (["--task", "seg", "--num", "0"], "--num: Input should be greater than or equal to 1"),
    (["--task", "seg", "--num", "-4"], "--num:"),
    (
        ["--task", "seg", "--sample", "uniform", "--store", "/proc/labels"],
        "label store /proc/labels: cannot be created: No such file or directory: choose a writable location",
    ),
    (["--task", "seg", "--num", "20000", "--sample", "uniform"], "has only 15284 architectures"),
    (["--task", "seg", "--repeat", "0"], "--repeat:"),
    (["--task", "seg", "--save-images", "-1"], "--save-images:"),
    (["--task", "seg", "--save-images", "1", "--store", "s3://b/l"], "--save-images: s3://b/l is not a local folder"),
    (["--task", "seg", "--data", "masks:/nowhere,ignore=-1"], "ignore=-1 is not a class id"),
    (["--task", "seg", "--latency", "tpu"], "--latency 'tpu': write cpu or cuda"),
    (
        ["--task", "seg", "--fidelity", "full", "--latency", "cuda"],
        "--latency cuda: workers of this recipe have no GPU",
    ),
    (["--task", "seg", "--seed", "-1"], "--seed:"),
    (["--task", "seg", "--workers", "0"], "--workers:"),
    (["--task", "seg", "--sample", "best"], "--sample: Input should be 'stratified' or 'uniform'"),
    (
        ["--task", "seg", "--fidelity", "rumour"],
        "unknown fidelity 'rumour': choose one of calibrated, full, measured, proxy, published",
    ),
    (
        ["--task", "seg", "--fidelity", "published"],
        "--fidelity published: such labels cannot be made: use `orchestrator import",
    ),
    (
        ["--task", "seg", "--fidelity", "full", "--audit", "4"],
        "--audit compares a cheaper fidelity with full: add --fidelity shared",
    ),
    (["--task", "seg", "--audit", "-1"], "--audit: Input should be greater"),
    (["--task", "seg", "--space", "zoo"], "--space zoo: its networks share no weights: use --fidelity full"),
    (["--task", "seg", "--recipe", "cloud"], "unknown shared recipe for task seg 'cloud'"),
    (
        ["--task", "seg", "--recipe", "paper"],
        "--recipe paper: this tier trains from scratch: add --fidelity full, or choose ",
    ),
    (["--task", "seg", "--fidelity", "shared", "--set", "supernet.data=nowhere"], "unknown data format 'nowhere'"),
    (["--task", "seg", "--fidelity", "shared", "--set", "supernet.stepz=3"], "seg.laptop.yaml: stepz: Extra inputs"),
    (
        ["--task", "seg", "--fidelity", "shared", "--set", "shared_head.method=magic"],
        "method: Input should be 'latent'",
    ),
    (
        ["--task", "seg", "--fidelity", "shared", "--set", "supernet=tiny"],
        "unknown supernet recipe 'tiny': choose one of cls.gpu, cls.laptop, seg.gpu, seg.laptop",
    ),
    (["--task", "seg", "--fidelity", "shared", "--set", "shared_head=3"], "shared_head is 3: set its fields"),
    (
        ["--task", "seg", "--fidelity", "shared", "--set", "supernet.pretrained=ofa.safetensors"],
        "supernet.pretrained: no published weights of nasbench201: use mobilenetv3",
    ),
    (
        ["--task", "seg", "--fidelity", "shared", "--space", "resnet50", "--set", "supernet.pretrained=/nowhere"],
        "supernet.pretrained '/nowhere': no such file",
    ),
    (["--task", "seg", "--space", "mobilenetv3", "--set", "body.width=wide"], "body width wide: must be a number"),
    (["--task", "pano", "--fidelity", "proxy", "--also", "det"], "--also: an untrained network makes no predictions"),
    (["--task", "seg", "--fidelity", "proxy", "--save-images", "1"], "--save-images: an untrained network"),
    (
        ["--task", "seg", "--fidelity", "full", "--recipe", "mainframe"],
        "unknown recipe for task seg 'mainframe': choose one of ade20k, aiop, cityscapes, gpu, laptop, paper",
    ),
    (["--task", "seg", "--recipe", "/nowhere/r.yaml"], "No such file"),
    (["--task", "seg", "--set", "steps"], "write FIELD=VALUE"),
    (["--task", "seg", "--set", "stepz=3"], "stepz"),
    (["--task", "seg", "--set", "steps=0"], "steps: Input should be greater"),
    (["--task", "seg", "--set", "steps=5", "--set", "ema=0.9"], "lower ema or raise steps"),
    (["--task", "seg", "--set", "steps=[1"], "the value is not YAML"),
    (["--task", "seg", "--set", "input_size=[50,50]"], "multiples of 32"),
    (["--task", "seg", "--set", "body.depth=3"], "body setting 'depth' is unknown"),
    (["--task", "seg", "--set", "head.depth=3"], "head setting 'depth' is unknown"),
    (["--task", "seg", "--set", "head.width=9"], "must be a multiple of 8"),
    (["--task", "cls", "--set", "head.width=8"], "unknown to task cls"),
    (["--task", "seg", "--set", "task=cls"], "is for task cls, not seg"),
    (["--task", "seg", "--set", "precision=float8"], "precision: Input should be"),
    (["--task", "seg", "--store", ""], "store is empty"),
    (["--task", "seg", "--refresh-every", "-1"], "--refresh-every: Input should be greater"),
]


@pytest.mark.parametrize(("arguments", "says"), CASES)
def test_one_line_and_exit_code_2(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["label", *arguments], monkeypatch) == 2
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["label", "labels", "status", "evaluate", "refresh"])
def test_a_newer_and_a_corrupt_store_are_refused(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    newer, corrupt = tmp_path / "newer", tmp_path / "corrupt"
    shutil.copytree(FIXTURE, newer)
    for log in newer.glob("*/_delta_log/*0.json"):
        log.write_text(re.sub(r"(schema_version[^0-9]*)1", r"\g<1>99", log.read_text()))
    shutil.copytree(FIXTURE, corrupt)
    for log in corrupt.glob("*/_delta_log/*0.json"):
        log.write_text("{")
    for store, says in ((newer, "upgrade aiop-orchestrator"), (corrupt, "restore it from a copy")):
        task = ["--task", "seg"] if command == "label" else []
        assert run([command, *task, "--store", str(store)], monkeypatch) == 2
        printed = capsys.readouterr()
        assert says in printed.err
        assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--labels", "few"], "--labels few: write numbers with commas"),
        (["--labels", "20,other"], "--labels 20,other: write numbers with commas between them, for example"),
        (["--labels", "-3"], "--labels -3: write numbers with commas"),
        (["--labels", "9" * 5000], "write numbers with commas"),
        (["--out", "report.pdf"], "--out report.pdf: name a file that ends in .md or .json"),
        (["--out", "/nowhere/report.md"], "No such file or directory: choose a writable file"),
        (["--split", "luck"], "--split luck: choose one of architecture, task, space"),
        (["--model", "oracle"], "unknown model oracle: choose one of flops, params, trees, gp, extra-trees"),
        (["--nested"], "--nested: name two or more of our models, such as --model default --model default:slope=0.3"),
        (["--nested", "--model", "default", "--model", "gp"], "--nested: name two or more of our models"),
        ([], "--store: has no labels with graphs: make some with"),
    ],
)
def test_wrong_options_of_evaluate(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["evaluate", *arguments], monkeypatch) == 2
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.err.count("\n") == 1


class LooksAtValues(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image if image.mean() > 0 else -image


def onnx_file(folder: Path, kind: str, domain: str = "") -> str:
    node = helper.make_node(kind, ["x"], ["y"], domain=domain)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 3, 8, 8]), ("y", None)))
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("my.ops", 1)]
    onnx.save(helper.make_model(helper.make_graph([node], "net", [x], [y]), opset_imports=opsets), folder / "net.onnx")
    return str(folder / "net.onnx")


def test_a_network_that_gives_no_graph(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "some.package", sys.modules[__name__])
    twist, torn = onnx_file(tmp_path, "Twist", "my.ops"), tmp_path / "torn.onnx"
    torn.write_bytes(Path(twist).read_bytes()[:40])
    for model, says in [
        ("some.package:LooksAtValues", "LooksAtValues: the computation depends on the values of tensors"),
        ("nasbench201:|none~0|", "nasbench201"),
        (twist, "the output size of Twist of my.ops ('y') is unknown"),
        (str(torn), "is not an ONNX file, or is incomplete"),
        (str(tmp_path / "none.onnx"), "No such file or directory: name an ONNX file"),
    ]:
        assert run(["graph", model, "--input-size", "8"], monkeypatch) == 2
        printed = capsys.readouterr().err
        assert says in printed
        assert printed.count("\n") == 1
    known = onnx_file(tmp_path, "Hardmax")  # by ONNX's rules, though not by ours
    assert run(["graph", known, "--input-size", "16"], monkeypatch) == 2
    assert "takes images of 3x8x8, not 3x16x16: give that size" in capsys.readouterr().err
    assert run(["graph", known, "--input-size", "8", "--json"], monkeypatch) == 0
    assert json.loads(capsys.readouterr().out)["operations"]["other"] == 1


def test_a_results_file_with_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    results, store = tmp_path / "results.csv", str(tmp_path / "store")
    results.write_text("model,task,metric,value\n")
    assert run(["import", str(results), "--store", store], monkeypatch) == 2
    printed = capsys.readouterr().err
    assert "has no column dataset: needs model, task, dataset, metric, value" in printed
    assert printed.count("\n") == 1
    results.write_text("model,task,dataset,metric,value\ntimm:resnet18,cls,d,top1,nan\nresnet18,cls,d,top1,0.5\n")
    assert run(["import", str(results), "--store", store, "--json"], monkeypatch) == 1
    printed_ = capsys.readouterr()
    assert "line 2: timm:resnet18: skipped: value nan is not finite" in printed_.err
    assert "line 3: resnet18: skipped: model 'resnet18': write timm:..." in printed_.err
    assert json.loads(printed_.out)["added"] == 0


def test_an_unusable_generation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kept = tmp_path / "latest"
    write_generation(kept, Generation(GenerationMetadata(model="default"), {}, [], {"model.a": np.zeros(8)}))
    weights, about = kept / "weights.safetensors", kept / "generation.json"
    whole, stored = weights.read_bytes(), json.loads(about.read_text())
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    for content, text, says in [
        (flipped, json.dumps(stored), "weights.safetensors: checksum mismatch: restore it, or train it again"),
        (whole, json.dumps(stored | {"format": 99}), "has format 99, this version reads 1: train it again"),
        (whole, json.dumps(stored | {"reads": "0"}), "trained on graphs of another version: train it again"),
        (whole, json.dumps(stored)[:-9], "generation.json cannot be read"),
    ]:
        weights.write_bytes(content)
        about.write_text(text)
        assert run(["predict", "timm:resnet18", "--task", "cls", "--predictors", str(kept.parent)], monkeypatch) == 2
        printed = capsys.readouterr().err
        assert says in printed
        assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- task", "must be a mapping"),
        ("task: [", "not YAML"),
        ("task: seg\nnmu: 3", "--nmu: Extra inputs are not permitted"),
        ("task: seg\nnum: many", "--num: Input should be a valid integer"),
        ("task: seg\nset: {stepz: 3}", "stepz"),
        ("num: 3", "--task is missing"),
    ],
)
def test_a_wrong_configuration_file_is_one_line(
    text: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "campaign.yaml").write_text(text)
    assert run(["label", "--config", str(tmp_path / "campaign.yaml")], monkeypatch) == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1


def test_the_command_line_overrides_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "campaign.yaml").write_text("task: seg\nspace: nowhere\nnum: 0")
    arguments = ["label", "--config", str(tmp_path / "campaign.yaml"), "--num", "1"]
    assert run(arguments, monkeypatch) == 2
    assert "unknown space 'nowhere'" in capsys.readouterr().err
    assert run([*arguments, "--space", "elsewhere"], monkeypatch) == 2
    assert "unknown space 'elsewhere'" in capsys.readouterr().err


def test_unknown_options_and_commands_exit_with_2() -> None:
    for arguments in (["label"], ["label", "--task", "seg", "--nmu", "3"], ["lable"]):
        ended = subprocess.run(
            [sys.executable, "-c", "from orchestrator.cli import main; main()", *arguments], capture_output=True
        )
        assert ended.returncode == 2
        assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("text", ["1_0", "\uff11\uff10", "1.5", "1e1", " 8", "²", "nan", "9" * 30])
def test_numbers_of_options_are_plain_digits(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["label", "--task", "seg", "--num", text], monkeypatch) == 2
    printed = " ".join(capsys.readouterr().err.split())
    assert "Invalid value for '--num'" in printed
    assert "whole number" in printed or "is not from" in printed


def test_every_command_has_help_and_json() -> None:
    commands = typer.main.get_group(app).commands
    assert {"graph", "import", "label", "labels", "prepare", "status"} <= commands.keys()
    for command in commands.values():
        assert command.help
        assert "--json" in {option for parameter in command.params for option in parameter.opts}
        assert all(getattr(parameter, "help", "") for parameter in command.params)


def test_labels_and_status_read_a_frozen_store(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    expected = json.loads((FIXTURE / "expected.json").read_text())
    store = tmp_path / "store"
    shutil.copytree(FIXTURE, store)
    out = tmp_path / "rows.csv"
    assert run(["labels", "--store", str(store), "--json", "--out", str(out)], monkeypatch) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == len(expected["labels"])
    assert [r["value"] for r in rows] == sorted((r["value"] for r in rows), reverse=True)
    assert len(out.read_text().splitlines()) == len(rows) + 1
    assert run(["status", "--store", str(store), "--json"], monkeypatch) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == len(rows)
    assert run(["labels", "--store", str(store), "--out", str(tmp_path / "rows.xls")], monkeypatch) == 2


def masks(folder: Path, *, label: int = 1, annotate: bool = True, val: int = 1) -> str:
    """A tiny data set with two classes and the requested mistake."""
    for split, count in (("train", 2), ("val", val)):
        for kind in ("images", "annotations"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (32, 32)).save(folder / "images" / split / f"{number}.png")
            if annotate or number:
                Image.new("L", (32, 32), label).save(folder / "annotations" / split / f"{number}.png")
    (folder / "classes.json").write_text('["ground", "thing"]')
    return f"masks:{folder}"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"annotate": False}, "0.png"),
        ({"label": 7}, "0.png"),
        ({"val": 0}, "val"),
    ],
)
def test_wrong_data_is_reported_before_any_worker_starts(
    wrong: dict[str, int],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    data = masks(tmp_path / "d", **wrong)  # type: ignore[arg-type]
    assert run(["label", "--task", "seg", "--data", data], monkeypatch) == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("task", "spec", "says"),
    [
        ("seg", "masks:/nowhere", "/nowhere does not exist"),
        ("cls", "imagefolder:/nowhere", "/nowhere does not exist"),
        ("seg", "masks:", "names no folder"),
        ("seg", f"imagefolder:{Path(__file__).parent}", "no annotations for task seg"),
        ("cls", f"masks:{Path(__file__).parent}", "no annotations for task cls"),
        ("cls", f"imagefolder:{Path(__file__)}", "is a file"),
    ],
)
def test_missing_data(
    task: str, spec: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["label", "--task", task, "--data", spec], monkeypatch) == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1
