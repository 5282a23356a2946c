"""Networks as Python files that need torch only."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from orchestrator.errors import ConfigError
from orchestrator.predictors.labelled_networks import build_for_task, data_size
from orchestrator.search.export.folder import check_new_folder, export_network
from orchestrator.search.export.standalone import PlainNetwork, export_program, standalone_source
from workers.detectors.head import DetectorHead
from workers.messages.evaluator_options import EvaluatorOptions
from workers.messages.label import LabelJob, LabelRequest
from workers.messages.recipe_files import load_recipe
from workers.spaces import get_space
from workers.storage.checkpoints import open_checkpoints
from workers.training.full import FullEvaluator

_SCRIPT = """
import json, math, sys, torch, safetensors.torch
sys.path.insert(0, ".")
import network
built = network.Network().eval()
built.load_state_dict(safetensors.torch.load_file("weights.safetensors"))
size = ({size})
images = torch.linspace(0, 255, 2 * 3 * math.prod(size)).reshape(2, 3, *size)
assert not [m for m in sys.modules if m.split(".")[0] in ("orchestrator", "workers", "predictor", "timm", "mmdet")]
with torch.no_grad():
    print(json.dumps(built(images)[0].flatten().tolist()))
"""


def _plain(task: str, space: str) -> tuple[PlainNetwork, tuple[int, int]]:
    recipe = load_recipe("laptop", task, space)
    architecture = next(get_space(space).sequence(1))
    network = build_for_task(architecture, recipe, task, data_size("shapes", task), device="cpu")
    head = network.head.whole() if isinstance(network.head, DetectorHead) else network.head
    plain = PlainNetwork(network.body, head, network.normalise.mean, network.normalise.std)
    return plain.eval(), recipe.input_size


def _written(plain: nn.Module, image: tuple[int, int]) -> nn.Module:
    source, weights = standalone_source(export_program(plain, image), image, 'a "test" \\ of')
    names: dict[str, Any] = {}
    exec(compile(source, "network.py", "exec"), names)
    network: nn.Module = names["Network"]()
    network.load_state_dict(weights)
    return network


@pytest.mark.parametrize(
    ("task", "space"),
    [("cls", "nasbench201"), ("seg", "transnas-macro"), ("pose", "mobilenetv3"), ("det", "resnet50"), ("cls", "zoo")],
)
def test_the_file_computes_the_same_with_the_same_flops(task: str, space: str) -> None:
    plain, image = _plain(task, space)
    written = _written(plain, image).eval()
    images = torch.rand(3, 3, *image, generator=torch.Generator().manual_seed(0)) * 255
    with torch.no_grad():
        for first, second in zip(tree_leaves(plain(images)), tree_leaves(written(images)), strict=True):
            assert torch.allclose(first, second, atol=1e-5)
        counts = []
        for network in (plain, written):
            with FlopCounterMode(display=False) as counter:
                network(images)
            counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_the_file_can_be_trained() -> None:
    plain, image = _plain("cls", "nasbench201")
    written = _written(plain, image).train()
    images = torch.rand(4, 3, *image) * 255
    written(images)[0].sum().backward()
    used = [name for name, parameter in plain.named_parameters() if parameter.numel() > 1]
    assert len([p for p in written.parameters() if p.grad is not None]) == len(used)
    before = [b.clone() for n, b in written.named_buffers() if n.endswith("running_mean")]
    written(images)
    after = [b for n, b in written.named_buffers() if n.endswith("running_mean")]
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))  # batch norms learn


class _Shared(nn.Module):
    """Uses one layer twice, and once with another stride; writes into a tensor; has a bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.layer(self.layer(x)) * self.scale
        other = nn.functional.conv2d(first, self.layer.weight, self.layer.bias, stride=2, padding=1)
        kept = first.relu()
        first.add_(1.0)
        return kept + first, other


def test_shared_layers_bare_parameters_and_writes_are_kept() -> None:
    network = _Shared().eval()
    written = _written(network, (16, 16)).eval()
    images = torch.rand(2, 3, 16, 16)
    for first, second in zip(network(images), written(images), strict=True):
        assert torch.allclose(first, second, atol=1e-6)
    assert sum(p.numel() for p in written.parameters()) == sum(p.numel() for p in network.parameters())


class _Dependent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


def test_a_network_whose_code_depends_on_values_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="depends on values of tensors") as caught:
        export_program(_Dependent(), (8, 8))
    assert "\n" not in str(caught.value)


def test_the_folder_runs_without_this_project(tmp_path: Path) -> None:
    architecture = next(get_space("nasbench201").sequence(0))
    recipe = load_recipe("laptop", "cls", "nasbench201").model_copy(update={"steps": 2, "ema": 0.0})
    request = LabelRequest(architecture, "cls", "shapes", "f" * 16, "full", recipe, 0, keep_weights=True)
    options = EvaluatorOptions(("full",), weights_uri=str(tmp_path / "weights"))
    FullEvaluator(options)(LabelJob(request, "c"))
    folder = tmp_path / "best"
    export_network(folder, request, options, {"note": 1})
    assert {path.name for path in folder.iterdir()} >= {"network.json", "network.py", "weights.safetensors"}
    facts = json.loads((folder / "network.json").read_text())
    assert (facts["genotype"], facts["note"]) == (architecture.values, 1)
    kept = open_checkpoints(str(tmp_path / "weights")).load(request.key)
    assert kept is not None
    network = build_for_task(architecture, recipe, "cls", data_size("shapes", "cls"), device="cpu").eval()
    network.load_state_dict(dict(kept.tensors))
    ran = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(size=", ".join(map(str, recipe.input_size)))],
        cwd=folder,
        capture_output=True,
        text=True,
        env={"OMP_NUM_THREADS": "1"},
        check=True,
    )
    images = torch.linspace(0, 255, 2 * 3 * math.prod(recipe.input_size)).reshape(2, 3, *recipe.input_size)
    with torch.no_grad():
        assert json.loads(ran.stdout) == pytest.approx(network(images).flatten().tolist(), abs=1e-5)
    with pytest.raises(ConfigError, match="exists already"):
        check_new_folder(folder)


def test_weights_that_were_not_kept_are_trained_once_more(tmp_path: Path) -> None:
    architecture = next(get_space("nasbench201").sequence(0))
    recipe = load_recipe("laptop", "cls", "nasbench201").model_copy(update={"steps": 2, "ema": 0.0})
    request = LabelRequest(architecture, "cls", "shapes", "f" * 16, "full", recipe, 0, keep_weights=True)
    lines: list[str] = []
    export_network(
        tmp_path / "best", request, EvaluatorOptions(("full",), weights_uri=str(tmp_path / "w")), {}, lines.append
    )
    assert "training it once more" in lines[0]


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="not a folder"):
        check_new_folder(tmp_path / "file" / "best")
