"""Importing published results: accepted and rejected lines, and repeated imports."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from torch import nn

from orchestrator.errors import ConfigError
from orchestrator.predictors.label_sets import read_label_sets
from orchestrator.published.importing import ImportSummary, import_results, trace_chunk
from orchestrator.published.results_file import read_results
from orchestrator.store import MemoryLabelStore
from orchestrator.store.delta import DeltaLabelStore
from predictor.graph import Graph
from tests.support.exit_codes import exit_code

CELL = "nasbench201:|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|avg_pool_3x3~2|"
GOOD = f"""model,task,dataset,metric,value,input_size,recipe,flops,params
{CELL},cls,cifar10,top1,0.9,32,published:200ep,,
{CELL},cls,cifar100,top1,0.7,32,published:200ep,,
{CELL},cls,cifar10,top1,0.91,32,published:200ep,,
timm:resnet18,cls,imagenet-1k,top1,0.7,64,published:a1,1e9,1e7
transnas-macro:124200,depth,taskonomy,ssim,0.6,64x128,,,
"""


def imported(text: str, folder: Path, store: MemoryLabelStore | None = None) -> tuple[ImportSummary, MemoryLabelStore]:
    path = folder / "results.csv"
    path.write_text(text)
    store = store or MemoryLabelStore()
    results, rejected = read_results(path)
    summary = import_results(results, store, lambda chunks: map(trace_chunk, chunks))
    summary.rejected += rejected
    return summary, store


def test_results_become_labels_with_graphs(tmp_path: Path) -> None:
    outcome, store = imported(GOOD, tmp_path)
    assert (outcome.rows, outcome.added, outcome.networks, outcome.rejected) == (5, 5, 3, [])
    rows = store.labels(fidelity="published").to_pylist()
    values = {(r["space"], r["task"], r["fingerprint"], r["seed"]): r["value"] for r in rows}
    assert values == {
        ("nasbench201", "cls", "cifar10", 0): 0.9,
        ("nasbench201", "cls", "cifar10", 1): 0.91,
        ("nasbench201", "cls", "cifar100", 0): 0.7,
        ("timm", "cls", "imagenet-1k", 0): 0.7,
        ("transnas-macro", "depth", "taskonomy", 0): 0.6,
    }
    graphs = {(g["space"], g["task"]): Graph.from_json(g["graph"]) for g in store.graphs().to_pylist()}
    assert store.graphs().num_rows == 3  # shared between data sets
    assert graphs["transnas-macro", "depth"].input_size == (3, 64, 128)
    assert all(r["flops"] == graphs[r["space"], r["task"]].flops for r in rows)


def test_the_same_file_adds_nothing_and_builds_nothing(tmp_path: Path) -> None:
    _, store = imported(GOOD, tmp_path)
    again, _ = imported(GOOD + "timm:resnet18,cls,imagenet-real,top1,0.8,64,published:a1,,\n", tmp_path, store)
    assert (again.added, again.known, again.networks) == (1, 5, 1)


def two_layers(width: int, depth: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 1), *(nn.Conv2d(width, width, 1) for _ in range(depth)))


def test_functions_with_arguments_in_a_space_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mynets", sys.modules[__name__])
    text = """model,arguments,space,task,dataset,metric,value,input_size
mynets:two_layers,[4],pairs,cls,d,top1,0.4,32
mynets:two_layers,"{""width"": 4, ""depth"": 2}",pairs,cls,d,top1,0.5,32
"mynets:two_layers({""depth"": 2, ""width"": 4})",,pairs,cls,d,top1,0.6,32
mynets:two_layers,[5],,cls,d,top1,0.7,32
net.onnx,[5],,cls,d,top1,0.8,32
mynets:two_layers,5,pairs,cls,d,top1,0.9,32
timm:resnet18,,pairs,cls,d,top1,0.9,32
"""
    outcome, store = imported(text, tmp_path)
    rows = store.labels().to_pylist()
    assert {(row["space"], row["value"], row["seed"]) for row in rows} == {
        ("pairs", 0.4, 0),
        ("pairs", 0.5, 0),
        ("pairs", 0.6, 1),  # the same network again
        ("function", 0.7, 0),
    }
    assert json.loads(rows[0]["genotype"])["name"] == "mynets:two_layers"
    assert {line.line: line.reason for line in outcome.rejected} == {
        6: "arguments: only a model of the form module:function takes them",
        7: "model 'mynets:two_layers(5)': the arguments in parentheses must be a JSON list or object",
        8: "space 'pairs': model 'timm:resnet18' is of the space timm: leave the space out",
    }


@pytest.mark.parametrize(
    "cell",
    [
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|",  # a convolution that leads nowhere
        "|none~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|",  # a path that begins nowhere
    ],
)
def test_cells_without_a_path_to_the_output_are_imported(cell: str, tmp_path: Path) -> None:
    text = GOOD.splitlines()[0] + f"\nnasbench201:{cell},cls,cifar10,top1,0.1,32,published:200ep,,\n"
    outcome, store = imported(text, tmp_path)
    assert (outcome.added, outcome.rejected) == (1, [])
    [labels], without_graph = read_label_sets(store)
    assert (len(labels), without_graph) == (1, 0)
    assert np.isfinite(labels.statistics).all()


def test_onnx_files_are_imported_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    node = helper.make_node("Relu", ["x"], ["y"])
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 32, 32]) for name in "xy")
    onnx.save(helper.make_model(helper.make_graph([node], "net", [x], [y])), "net.onnx")
    shutil.copy("net.onnx", "copy.onnx")
    header = GOOD.splitlines()[0]
    lines = (f"{name},cls,d,top1,0.5,{side},," for name, side in [("net.onnx", 32), ("copy.onnx", 32), ("net.onnx", 8)])
    outcome, _ = imported("\n".join([header, *lines, "gone.onnx,cls,d,top1,0.5,32,,"]), tmp_path)
    reasons = {line.line: line.reason for line in outcome.rejected}
    assert reasons.keys() == {4, 5}
    assert "takes images of 3x32x32, not 3x8x8" in reasons[4]
    assert "gone.onnx: No such file" in reasons[5]
    assert outcome.added == 2  # the copy counts as another training of the same network, like a repeated line


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("timm:no_such_net,cls,d,top1,0.5", "timm has no model of that name"),
        ("resnet18,cls,d,top1,0.5", "write timm:..."),
        ("nasbench201:|oops~0|,cls,d,top1,0.5", "nasbench201"),
        ("timm:resnet18,cls,d,top1,nan", "value nan is not finite"),
        ("timm:resnet18,cls,d,top1,inf", "value inf is not finite"),
        ("timm:resnet18,cls,d,top1,good", "value good is not a number"),
        ("timm:resnet18,cls,d,top1,", "no value"),
        (",cls,d,top1,0.5", "no model"),
        ("timm:resnet18,,d,top1,0.5", "no task"),
        ("timm:resnet18,cls,d,top1,0.5,big", "input_size big is not SIDE or HEIGHTxWIDTH"),
        ("timm:vit_tiny_patch16_224,cls,d,top1,0.5,100", "cannot run on an image of 3x100x100"),
        ("no.module:f,cls,d,top1,0.5", "ModuleNotFoundError"),
        ("timm:resnet18", "no task"),
    ],
)
def test_a_bad_line_is_reported_and_the_others_are_imported(line: str, reason: str, tmp_path: Path) -> None:
    header, *others = GOOD.splitlines()
    outcome, store = imported("\n".join([header, others[0], line, others[4]]) + "\n", tmp_path)
    [rejected] = outcome.rejected
    assert rejected.line == 3
    assert reason in rejected.reason
    assert "\n" not in rejected.reason
    assert store.labels().num_rows == outcome.added == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"model,task,value\n", "has no column dataset, metric: needs model, task, dataset, metric, value"),
        (b"", "has no column model"),
        (b"model,task,dataset,metric,value\n\xff\xfe", "cannot be read"),
        (b'model,task,dataset,metric,value\na,"b', "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_an_unreadable_file_is_an_error(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_results(path)
    assert "\n" not in str(caught.value)


def test_gzipped_files_are_read_and_truncated_ones_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "results.csv.gz"
    whole = gzip.compress(GOOD.encode())
    path.write_bytes(whole)
    assert len(read_results(path)[0]) == 5
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="cannot be read"):
        read_results(path)


class _Context:
    dashboard_url = None


def test_the_command_traces_on_ray(
    ray_session: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import ray

    monkeypatch.setattr(ray, "init", lambda **_: _Context())
    monkeypatch.setattr(ray, "shutdown", lambda: None)  # the test session's Ray goes on
    path, store = tmp_path / "results.csv", str(tmp_path / "store")
    path.write_text(GOOD + "timm:no_such_net,cls,d,top1,0.5,,,,\n")
    code = exit_code(monkeypatch, "import", str(path), "--store", store, "--json")
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == 1
    assert (printed["rows"], printed["added"], [line["line"] for line in printed["refused"]]) == (6, 5, [7])
    assert DeltaLabelStore(store).graphs().num_rows == 3
