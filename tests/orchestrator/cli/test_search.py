"""`orchestrator search`: every mistake in one line before a worker starts, and what is printed."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray

from orchestrator.campaign.search_config import SearchConfig
from orchestrator.cli import search
from tests.support.exit_codes import exit_code

SEG = ["--task", "seg"]
QUICK = [
    ([], "--task is missing: choose one of cls"),
    ([*SEG, "--max-flops", "fast"], "--max-flops 'fast': write 1.2G"),
    ([*SEG, "--max-flops", "0"], "no network costs that little"),
    ([*SEG, "--max-flops", "-5M"], "--max-flops '-5M'"),
    ([*SEG, "--max-flops", "5 apples"], "unknown unit 'apples'"),
    ([*SEG, "--max-params", "5ms"], "unknown unit 'ms'"),
    ([*SEG, "--max-latency", "8"], "write the unit us, ms or s"),
    ([*SEG, "--max-latency", "8G"], "write the unit us, ms or s"),
    ([*SEG, "--max-latency", "8ms", "--latency", "tpu"], "--latency 'tpu': write cpu or cuda"),
    ([*SEG, "--latency", "cpu"], "add --max-latency"),
    ([*SEG, "--budget", "0"], "--budget '0': write a time such as 2h"),
    ([*SEG, "--budget", "0h"], "nothing can be searched"),
    ([*SEG, "--budget", "200"], "write a time such as 2h or 45m, or a number of networks"),
    ([*SEG, "--budget", "1.5 labels"], "whole number"),
    ([*SEG, "--verify", "-1"], "--verify: Input should be greater than or equal to 0"),
    ([*SEG, "--verify-seeds", "0"], "--verify-seeds: Input should be"),
    ([*SEG, "--verify-fidelity", "proxy"], "--verify-fidelity: Input should be 'full' or 'shared'"),
    ([*SEG, "--fidelity", "full", "--verify-seeds", "1"], "add seeds with --verify-seeds 2"),
    ([*SEG, "--weights", "1,2"], "--weights: 2 for 1 tasks: write one for each"),
    (["--task", "seg,det", "--weights", "1,-2"], "--weights: must be above 0"),
    (["--task", "seg,det", "--weights", "1,x"], "--weights"),
    (["--task", "seg,seg"], "names a task twice"),
    ([*SEG, "--strategy", "luck"], "--strategy: Input should be 'predictor' or 'random'"),
    ([*SEG, "--pool", "0"], "--pool: Input should be greater than or equal to 1"),
    ([*SEG, "--store", ""], "--store is empty"),
    ([*SEG, "--hold", "ops.5"], "--set 'ops.5': write FIELD=VALUE"),
    ([*SEG, "--verify", "0", "--export", "best"], "--export: writes a verified network"),
]
PLANNED = [
    (["--task", "sge"], "unknown task 'sge'"),
    ([*SEG, "--space", "resnet"], "unknown space 'resnet'"),
    ([*SEG, "--data", "masks:/nowhere"], "/nowhere"),
    ([*SEG, "--recipe", "cloud"], "unknown shared recipe for task seg 'cloud'"),
    ([*SEG, "--reference", "resnet50"], "--reference: nasbench201 string 'resnet50'"),
    ([*SEG, "--reference", "timm:resnet50"], "is of space zoo: name an architecture of nasbench201"),
    ([*SEG, "--reference", '{"ops": ["none"]}'], "--reference: nasbench201 genotype"),
    ([*SEG, "--verify-set", "stepz=3"], "stepz"),
    ([*SEG, "--hold", "ops.9=none", "--fidelity", "full"], "--hold ops.9: space nasbench201 has no such place"),
    ([*SEG, "--max-flops", "10K", "--fidelity", "full", "--pool", "4"], "found that small"),
    ([*SEG, "--export", "."], "--export .: exists already: name a new folder"),
]


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the exit code. Starting Ray is an error."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a worker was about to start")

    monkeypatch.setattr(ray, "init", refuse)
    return exit_code(monkeypatch, "search", *arguments)


@pytest.mark.parametrize(("arguments", "message"), [*QUICK, *PLANNED])
def test_a_mistake_is_one_line(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments, monkeypatch) == 2
    captured = capsys.readouterr()
    (line,) = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert captured.out == ""


def _row(genotype: str, **fields: object) -> dict[str, object]:
    numbers: dict[str, object] = {"value": 0.5, "values": {"seg": 0.5}, "flops": 5e7, "params": 1e5, "within": True}
    return {"architecture": "a" * 16, "genotype": genotype} | numbers | fields


def test_the_front_the_comparison_and_the_winner_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    compared = {"value": 0.6, "difference": 0.01, "low": -0.002, "high": 0.022, "verdict": "no worse"}
    best = _row("{cell}", predicted=0.48, deviation=0.02, verified={"seg": compared})
    document = {
        "task": "seg", "space": "cells", "labels": 8, "known": 0, "seconds": 90.0, "traced": 300, "store": "labels",
        "front": [_row("{small}"), _row("{cell}")], "verified": [best], "winner": best, "problem": None,
        "reference": _row("{large}", verified={"seg": 0.59}), "agreement": {"seg": 0.9},
    }  # fmt: skip
    search._print(document, SearchConfig.checked(task="seg"))
    text = capsys.readouterr().out
    for part in ("front", "{small}", "reference 0.590", "-0.002 to +0.022", "no worse", "1 min 30 s", "50.0 M"):
        assert part in text
    search._print(
        document | {"verified": [], "winner": None, "problem": "interrupted"}, SearchConfig.checked(task="seg")
    )
    captured = capsys.readouterr()
    assert "verified" not in captured.out
    assert "stopped: interrupted" in captured.err
    assert "search again" not in captured.err
    search._print(document | {"agreement": {"seg": -0.36}}, SearchConfig.checked(task="seg"))
    assert "a correlation of -0.36 only: search again with --fidelity full" in capsys.readouterr().err
