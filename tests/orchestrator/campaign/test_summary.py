"""What a campaign ends with."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.campaign.summary import ranked_networks
from orchestrator.cli.campaign import print_summary


def _row(name: str, seed: int, value: float, flops: float = 1e6) -> dict[str, Any]:
    numbers = {"value": value, "flops": flops, "params": 1e3, "seconds": [("train", 2.0), ("evaluate", 1.0)]}
    return {"architecture": name, "genotype": f'{{"x":"{name}"}}', "seed": seed, "fidelity": "full", **numbers}


def test_networks_are_ranked_by_the_mean_over_their_seeds() -> None:
    rows = [_row("a", 0, 0.4), _row("a", 1, 0.6), _row("b", 0, 0.55), _row("c", 0, 0.55, flops=1e5)]
    found = ranked_networks(rows)
    assert [row["architecture"] for row in found] == ["c", "b", "a"]  # of equal ones the one with fewer FLOPs
    assert found[2]["value"] == pytest.approx(0.5)
    assert found[0] == {"architecture": "c", "genotype": '{"x":"c"}', "value": 0.55, "flops": 1e5, "params": 1e3} | {
        "seconds": 3.0
    }
    assert ranked_networks([]) == []


def test_the_summary_ends_with_the_best_networks_and_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    networks = ranked_networks([_row("a", 0, 0.5), _row("b", 0, 0.6)])
    summary = {
        "task": "seg",
        "space": "cells",
        "data": "shapes",
        "store": "labels",
        "fidelity": "shared",
        "audit": {"architectures": 12},
        "labels": 2,
        "networks": networks,
        "best": networks[0],
    }
    summary |= {"failures": [], "reliability": None, "known_reliability": None, "metric": "mIoU", "points": []}
    print_summary(summary, as_json=False)
    captured = capsys.readouterr()
    assert captured.out.index('{"x":"b"}') < captured.out.index('{"x":"a"}')
    assert "1.00 M" in captured.out
    assert "orchestrator report --store labels" in captured.err
    assert "add --repeat 2" in captured.err
    assert "orchestrator search --task seg --space cells --data shapes --store labels --max-flops 60%" in captured.err
    assert "orchestrator calibrate --task seg --space cells --data shapes --store labels" in captured.err
    print_summary(summary | {"audit": {"architectures": 7}}, as_json=False)
    assert "calibrate" not in capsys.readouterr().err  # too few networks


def test_the_noise_that_is_known_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    networks = ranked_networks([_row("a", 0, 0.5)])
    known = {"spearman": 0.914, "deviation": 0.0061, "networks": 24}
    summary = {"task": "seg", "space": "cells", "data": "shapes", "store": "labels", "networks": networks, "best": {}}
    summary |= {"fidelity": "shared", "audit": {}}
    summary |= {"failures": [], "reliability": None, "known_reliability": known, "metric": "mIoU", "points": []}
    print_summary(summary | {"fidelity": "shared"}, as_json=False)
    said = capsys.readouterr().err
    assert "too noisy" not in said
    assert "differ by 0.006 (standard deviation) between seeds" in said
    assert "a correlation of 0.91 (on 24 others)" in said
    assert "add --repeat 2 to measure it with these networks" in said


@pytest.mark.parametrize(
    ("spearman", "seeds", "fidelity", "advice"),
    [
        (
            0.43,
            2,
            "shared",
            "means over 2 seeds agree with others by 0.60 only: add --repeat 6, or use",
        ),
        (0.78, 1, "shared", "two seeds agree by 0.78 only: add --repeat 2, or use --fidelity full"),
        (0.1, 2, "shared", "agree with others by 0.18 only: use --fidelity full"),
        (-0.2, 2, "full", "agree with others by -0.20 only: train longer (--set steps=N)"),
        (0.67, 2, "full", ""),
    ],
)
def test_labels_that_are_mostly_noise_are_called_so(
    spearman: float, seeds: int, fidelity: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    networks = ranked_networks([_row("a", 0, 0.5)])
    summary = {"task": "seg", "space": "cells", "data": "shapes", "store": "labels", "networks": networks, "best": {}}
    summary |= {"fidelity": "shared", "audit": {}}
    measured = {"spearman": spearman, "seeds": seeds}
    summary |= {"failures": [], "reliability": measured, "known_reliability": None, "metric": "mIoU", "points": []}
    print_summary(summary | {"fidelity": fidelity}, as_json=False)
    said = " ".join(capsys.readouterr().err.split())
    assert ("too noisy to tell similar networks apart" in said) == bool(advice)
    assert advice in said
