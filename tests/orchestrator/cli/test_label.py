"""The main command for real: labels on Ray actors, then the same again, then more."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch

from orchestrator.predictors.label_sets import read_label_sets
from orchestrator.store.delta import DeltaLabelStore
from tests.support.declared_space import SIZE, isolate_declarations, write_space
from tests.support.exit_codes import exit_code
from tests.support.once_for_all_files import FILES
from workers.spaces import open_space

Program = Callable[..., tuple[int, dict[str, Any]]]
TINY = ["--set", "steps=20", "--set", "ema=0.8", "--set", "batch=4", "--set", "train_images=16"]
TINY += ["--set", "eval_images=8", "--set", "input_size=[32,32]"]


class _Context:
    dashboard_url = None


@pytest.fixture
def started(ray_session: object, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for every time a command starts Ray, which is the session's."""
    import ray

    starts: list[int] = []
    monkeypatch.setattr(ray, "init", lambda **_: starts.append(1) or _Context())
    monkeypatch.setattr(ray, "shutdown", lambda: None)  # the session's Ray stays
    return starts


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """Runs the program on a store of its own; gives exit code and document."""

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        code = exit_code(monkeypatch, *arguments, "--store", str(tmp_path / "store"), "--json")
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return code, document

    return run


def test_a_campaign_a_rerun_and_a_longer_one(started: list[int], program: Program, tmp_path: Path) -> None:
    def label(*arguments: str) -> tuple[int, dict[str, Any]]:
        return program("label", "--task", "cls", "--fidelity", "full", "--workers", "2", *TINY, *arguments)

    code, first = label("--num", "4")
    assert (code, first["labels"], first["missing"], len(started)) == (0, 4, 0, 1)
    assert first["lowest"] <= first["best"]["value"] == first["highest"]
    code, again = label("--num", "4")
    assert (code, again["version"], len(started)) == (0, first["version"], 1)  # no Ray, no row
    code, more = label("--num", "5", "--repeat", "2")
    assert (code, more["labels"], len(started)) == (0, 10, 2)
    assert more["reliability"]["architectures"] == 5
    by_metric = more["reliability_by_metric"]
    assert by_metric["top1"] == {k: more["reliability"][k] for k in ("spearman", "variance_ratio")}
    assert by_metric.keys() == {"top1", "balanced_accuracy"}
    store = DeltaLabelStore(str(tmp_path / "store"))
    assert len(store.keys()) == store.labels().num_rows == 10
    assert store.attempts().num_rows == 10
    assert more["median"] == pytest.approx(median(store.labels()["value"].to_pylist()))


@pytest.mark.timeout(600)  # starts four actors, each of which loads torch and mmdet
def test_all_networks_of_a_users_own_space(
    started: list[int], program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate_declarations(monkeypatch)
    space = write_space(tmp_path)
    fixed = ["label", "--space", str(space), "--task", "seg", "--workers", "2", *TINY]
    code, full = program(*fixed, "--fidelity", "full", "--num", str(SIZE))
    assert (code, full["space"], full["labels"], full["missing"]) == (0, "mynets", SIZE, 0)
    code, proxies = program(*fixed, "--fidelity", "proxy", "--num", "4", "--audit", "4")
    assert (code, proxies["labels"], proxies["audit"]["architectures"]) == (0, 4, 4)
    store = DeltaLabelStore(str(tmp_path / "store"))
    labels = store.labels(space="mynets")
    assert sorted(labels["fidelity"].to_pylist()) == ["full"] * SIZE + ["proxy"] * 4  # the audit's labels are there
    assert set(labels["genotype"].to_pylist()) == {a.genotype for a in open_space(str(space)).sequence(0)}
    assert store.graphs(space="mynets").num_rows == SIZE
    sets, without_graph = read_label_sets(store)
    assert ([len(labels.values) for labels in sets], without_graph) == ([SIZE], 0)


SHARED = [
    "--set",
    "supernet.steps=10",
    "--set",
    "supernet.ema=0.8",
    "--set",
    "supernet.data=shapes:train=16,held_out=4",
]
SHARED += ["--set", "body.channels=[8,8,8,8]", "--set", "calibration_images=4"]
SHARED += [
    "--set",
    "shared_head.steps=3",
    "--set",
    "shared_head.batch=4",
    "--set",
    "shared_head.ema=0.5",
    "--set",
    "shared_head.strata=2",
]


@pytest.mark.timeout(600)  # starts five actors, each of which loads torch and mmdet
def test_cheap_labels_prepare_what_they_need_and_are_audited(
    started: list[int], program: Program, tmp_path: Path
) -> None:
    task = ["--task", "seg", "--data", "shapes:train=16,held_out=8"]
    fixed = [*task, "--workers", "2", "--num", "4", "--sample", "uniform", *TINY, *SHARED]
    code, made = program("prepare", *task, *TINY, *SHARED)
    assert code == 0
    assert [name.split("-")[0] for name in made["made"]] == ["supernet", "head"]
    assert program("prepare", *task, *TINY, *SHARED)[1]["made"] == []
    (tmp_path / "full.yaml").write_text("task: seg\nsteps: 20\nema: 0.8\nbatch: 4\ntrain_images: 16\neval_images: 8\n")
    code, first = program("label", *fixed, "--audit", "3", "--set", f"full={tmp_path}/full.yaml")
    assert (code, first["labels"], first["missing"]) == (0, 4, 0)
    assert first["audit"]["architectures"] == 3
    assert first["audit"]["cost_ratio_low"] <= first["audit"]["cost_ratio"] <= first["audit"]["cost_ratio_high"]
    store = DeltaLabelStore(str(tmp_path / "store"))
    assert sorted(store.labels()["fidelity"].to_pylist()) == ["full"] * 3 + ["shared"] * 4
    assert len(started) == 3


def test_full_labels_start_from_a_checkpoint_of_published_layout(
    started: list[int],
    program: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save({"state_dict": FILES["mobilenetv3"][0]()}, tmp_path / "ofa.pth")
    exit_code(monkeypatch, "fetch-weights", str(tmp_path / "ofa.pth"), "--json")
    path = json.loads(capsys.readouterr().out)["path"]
    settings = ["--sample", "uniform", "--set", "body.width=1.0", "--set", f"body.pretrained={path}", "--num", "1"]
    label = ["label", "--task", "seg", "--space", "mobilenetv3", "--fidelity", "full", "--workers", "1", *TINY]
    code, document = program(*label, *settings)
    assert (code, document["labels"], document["missing"]) == (0, 1, 0)
