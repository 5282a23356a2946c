"""Every check of the contract finds the spaces that break it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.declared_space import BUILD, isolate_declarations, write_space
from workers.spaces import open_space
from workers.spaces.contract import CHECKS, ContractReport, check_space
from workers.spaces.declared import DeclaredSpace

WIDTHS = {"width": {"choices": [8, 16]}}
HEADER = """
import random
import torch
from torch import nn
from torch.nn import functional as F

LAYER = nn.Conv2d(3, 8, 3, 4, 1)

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, 4, 1)
"""


def net(forward: str, init: str = "pass", build: str = "Net(width)") -> str:
    body = f"        {init}\n    def forward(self, x):\n        {forward}\n"
    return f"{HEADER}{body}\ndef build(width):\n    return {build}\n"


VIOLATIONS = [
    ("build", net("return [x[:, :, ::4, ::4]]", "del self.conv"), "has no parameters to train"),
    ("build", net("return [self.conv(x)]", build="Net(width) if width < 16 else Net(width, 1)"), "fails (TypeError"),
    (
        "pyramid",
        net("return [F.interpolate(self.conv(x), (16, 24))]"),
        "pad convolutions so that maps have",
    ),
    (
        "fixed shapes",
        net("return [self.conv(x)] if x.sum() >= 0 else [self.conv(x)[:, :4]]"),
        "cannot run on the meta device",
    ),
    (
        "deterministic",
        net("return [self.conv(x)]", "self.s = nn.Parameter(torch.tensor(random.random()))"),
        "'network.s' differs",
    ),
    (
        "deterministic",
        net("return [self.conv(x)]", "self.s = nn.Parameter(torch.zeros(random.randrange(10 ** 9) % 997))"),
        "two builds differ in their layers",
    ),
    ("independent", net("return [self.conv(x)]", "self.conv = LAYER"), "two builds share"),
    (
        "training",
        net("y = self.conv(x); return [y * self.n(y.mean((2, 3), keepdim=True))]", "self.n = nn.BatchNorm2d(width)"),
        "use no batch norm on pooled maps",
    ),
    ("training", net("return [self.conv(x).detach()]"), "autograd cannot differentiate"),
    ("training", net("return [(self.conv(x) * 0).sqrt()]"), "gives no finite gradients"),
    (
        "graph",
        net("return [F.avg_pool2d(x, 4)[:, :1] * self.s]", "self.s = nn.Parameter(torch.ones(1)); del self.conv"),
        "its graph has no FLOPs",
    ),
]


def report_on(folder: Path, source: str) -> ContractReport:
    return check_space(open_space(str(write_space(folder, source, WIDTHS))), 2, image=(64, 64))


@pytest.mark.parametrize(("check", "source", "says"), VIOLATIONS)
def test_a_violation_is_one_line_with_the_genotype(
    check: str, source: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate_declarations(monkeypatch)
    report = report_on(tmp_path, source)
    problems = {result.check: result.problem for result in report.results}
    assert not report.passed
    assert says in problems[check]
    assert problems[check].startswith('{"width":')
    assert not any("\n" in problem for problem in problems.values())


def test_a_network_that_cannot_be_built_gets_no_other_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate_declarations(monkeypatch)
    report = report_on(tmp_path, net("return [self.conv(x)]", build="1 / 0"))
    assert [r.check for r in report.results if r.problem] == ["build"]
    assert (report.costs, report.strides) == ((), frozenset())


@pytest.mark.parametrize(
    ("method", "check", "says"),
    [
        ("mutate_genotype", "mutation", "a mutation changes 0 choices"),
        ("decode", "code", "make decode the inverse of encode"),
        ("random_genotype", "sampling", "two sequences of one seed differ"),
    ],
)
def test_spaces_in_code_are_checked_too(
    method: str, check: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate_declarations(monkeypatch)
    space = open_space(str(write_space(tmp_path)))
    architectures = list(space.sequence(0))
    values = iter([a.values for a in architectures] * 2)
    broken = {
        "mutate_genotype": lambda self, genotype, rng: genotype,
        "decode": lambda self, code: architectures[0],
        "random_genotype": lambda self, rng: next(values),
    }
    monkeypatch.setattr(DeclaredSpace, method, broken[method])
    monkeypatch.setattr(
        "workers.spaces.contract.CHECKS", {name: CHECKS[name] for name in ("build", "code", "mutation", "cost")}
    )
    problems = {r.check: r.problem for r in check_space(space, 3, image=(64, 64)).results}
    assert says in problems.pop(check)
    assert not any(problems.values())


def test_a_good_space_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate_declarations(monkeypatch)
    report = check_space(open_space(str(write_space(tmp_path, BUILD))), 3, image=(64, 64))
    assert report.passed, [r for r in report.results if r.problem]
    assert (report.architectures, len(report.costs), report.strides) == (3, 3, {(4, 8, 16, 32)})
    assert [r.check for r in report.results] == ["sampling", *CHECKS]
