"""The folder in which the commands of a page run: the data, files and stores that the page's text describes."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import torch
import yaml
from torch import nn

from orchestrator.store.delta import DeltaLabelStore
from orchestrator.weights.catalogue import ONCE_FOR_ALL
from tests.support.labelled_cells import cell_labels, train_on
from tests.support.markdown_blocks import ROOT, code_blocks
from tests.support.once_for_all_files import FILES
from tests.support.page_commands import PageCommand
from tests.support.small_data_sets import write_data_set

_RECIPES = ROOT / "workers" / "recipes"
_NETWORKS = """
from torch import nn


def network(depth, width):
    layers = [nn.Conv2d(3, width, 3, 2, 1), nn.ReLU()]
    for _ in range(depth):
        layers += [nn.Conv2d(width, width, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def build():
    return network(2, 16)
"""
_SMALL_MODELS = [
    *("resnet10t", "resnet14t", "resnet18", "mobilenetv3_small_050", "mobilenetv3_small_075", "mobilenetv3_small_100"),
    *("lcnet_050", "lcnet_075", "lcnet_100", "mnasnet_050", "regnetx_002", "regnety_002", "tinynet_d", "tinynet_e"),
]
_CELLS = ("nor_conv_3x3", "nor_conv_1x1", "skip_connect", "avg_pool_3x3")


def make_folder(path: Path, commands: Sequence[PageCommand], folder: Path) -> None:
    """Write what the commands of a page suppose into an empty folder."""
    words = [word for command in commands for word in command.words]
    for spec in sorted({words[n + 1] for n, word in enumerate(words) if word == "--data"}):
        write_data_set(spec, folder)
    _write_tiny_recipes(folder)
    match path.stem:
        case "compare-models":
            _write_results(folder / "results.csv")
        case "graph-a-network":
            _write_networks(folder)
            (folder / "results.csv").write_text(_block(path, "csv"))
        case "keep-the-predictor-fresh":
            labels = cell_labels("seg", 40)
            for count in (12, 24):
                train_on(list(labels[:count]), folder)
            DeltaLabelStore(folder / "labels").commit(labels)
        case "measure-latency":
            (folder / "names.txt").write_text("\n".join(f"timm:{name}" for name in _SMALL_MODELS) + "\n")
        case "predict":
            DeltaLabelStore(folder / "labels").commit(cell_labels("cls", 24))
        case "read-the-labels":
            DeltaLabelStore(folder / "labels").commit(cell_labels("seg", 6))
            DeltaLabelStore(folder / "other" / "labels").commit(cell_labels("seg", 12))
        case "read-the-report":
            train_on(list(cell_labels("seg", 24)), folder)
        case "use-your-own-networks":
            (folder / "mynets").mkdir()
            (folder / "mynets.yaml").write_text(_block(path, "yaml"))
            (folder / "mynets" / "backbones.py").write_text(_block(path, "python"))


def _block(path: Path, language: str) -> str:
    """Return the first block of a language."""
    return next(block.text for block in code_blocks(path) if block.language == language)


def _write_tiny_recipes(folder: Path) -> None:
    """Write tiny-TIER-TASK.yaml: shipped recipes of fidelity full with two steps on a few small images."""
    for path in _RECIPES.glob("*.yaml"):
        task, tier = path.stem.split(".")
        tiny = {"steps": 2, "ema": 0, "batch": 2, "input_size": [64, 64], "train_images": 8, "eval_images": 4}
        fields = yaml.safe_load(path.read_text()) | tiny | {"cpus": 1, "gpus": 0, "memory_mb": 0}
        fields["spaces"] = {name: own | tiny for name, own in (fields.get("spaces") or {}).items()}
        (folder / f"tiny-{tier}-{task}.yaml").write_text(yaml.safe_dump(fields))


def _write_results(path: Path) -> None:
    """Write results of two spaces, each for two tasks, that grow with the networks' size."""
    ops = list(itertools.product(_CELLS, repeat=3))[::2]  # 32 cells: twenty to predict, four with known labels
    cells = [f"nasbench201:|{a}~0|+|{b}~0|{c}~1|+|skip_connect~0|{c}~1|{a}~2|" for a, b, c in ops]
    rows: list[Iterable[object]] = [("model", "task", "dataset", "metric", "value", "input_size", "recipe")]
    for number, name in enumerate(f"timm:{name}" for name in _SMALL_MODELS):
        rows.append((name, "cls", "imagenet-1k", "top1", 0.5 + number / 50, 64, "published:a"))
        rows.append((name, "seg", "ade20k", "miou", 0.3 + number / 60, 64, "published:b"))
    for number, name in enumerate(cells):
        rows.append((name, "cls", "cifar10", "top1", 0.8 + number / 400, 32, "published:c"))
        rows.append((name, "cls", "cifar100", "top1", 0.5 + number / 400, 32, "published:c"))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _write_networks(folder: Path) -> None:
    (folder / "mypackage").mkdir()
    (folder / "mypackage" / "networks.py").write_text(_NETWORKS)
    (folder / "mynets.py").write_text(_NETWORKS)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    torch.onnx.export(network.eval(), (torch.zeros(1, 3, 224, 224),), folder / "network.onnx", dynamo=False)


def published_files() -> dict[str, bytes]:
    """Return what the publishers' servers have, by path: Once-for-All weights with random values."""
    file = io.BytesIO()
    torch.save({"state_dict": FILES["mobilenetv3"][0]()}, file)
    return {urlsplit(ONCE_FOR_ALL["ofa:mobilenetv3_w1.0"].url).path: file.getvalue()}
