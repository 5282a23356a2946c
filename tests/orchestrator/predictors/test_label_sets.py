"""A store's labels as predictors learn from them: averaged over seeds, with graphs, under telling names."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from orchestrator.cli.app import main
from orchestrator.errors import ConfigError
from orchestrator.predictors.evaluation import evaluate_models
from orchestrator.predictors.label_sets import read_label_sets
from orchestrator.store.delta import DeltaLabelStore
from orchestrator.store.memory import MemoryLabelStore
from predictor.evaluation import Answer, QuestionBatch, answer_batch, summarise
from predictor.graph import Graph, Node
from predictor.label_set import PROXIES
from predictor.models import ModelError
from tests.support.store_reports import report
from workers.messages.architecture import Architecture
from workers.messages.label import AttemptReport


def graph(channels: int) -> str:
    conv = Node("conv", (0,), 3, channels, 64, 64, (3, 3), params=27 * channels, flops=3456 * channels)
    return Graph((Node("input", (), 3, 3, 64, 64), conv, Node("output", (1,), channels, channels)), (3, 8, 8)).to_json()


def labelled(number: int, value: float, seed: int = 0, steps: int = 360, fidelity: str = "full") -> AttemptReport:
    made = report(seed, task="seg", value=value, graph=graph(number + 1))
    request = dataclasses.replace(
        made.job.request,
        architecture=Architecture.of("cells", {"number": number}),
        recipe=made.job.request.recipe.model_copy(update={"steps": steps}),
        fidelity=fidelity,
    )
    return dataclasses.replace(made, job=dataclasses.replace(made.job, request=request))


def test_seeds_are_averaged_and_proxies_left_out() -> None:
    store = MemoryLabelStore()
    store.commit([labelled(1, 0.4), labelled(1, 0.6, seed=1), labelled(2, 0.7), labelled(3, 9.0, fidelity="proxy")])
    (found,), left_out = read_label_sets(store)
    assert (found.name, found.space, found.task, left_out) == ("cells/seg/folder:/data", "cells", "seg", 0)
    assert sorted(found.values) == [pytest.approx(0.5), pytest.approx(0.7)]
    assert set(np.round(2 ** found.column("log_params") - 1)) == {54, 81}


def test_proxies_stand_beside_the_labels_of_their_architecture_and_task() -> None:
    store = MemoryLabelStore()
    scored = labelled(1, 9.0, fidelity="proxy")
    assert scored.measurement is not None
    scored = dataclasses.replace(
        scored, measurement=dataclasses.replace(scored.measurement, metrics={"naswot": 9.0, "snip": -3.0})
    )
    store.commit([labelled(1, 0.4), labelled(2, 0.7), scored])
    (found,), _ = read_label_sets(store)
    assert found.proxies is not None
    of_one = found.values == 0.4
    assert found.proxies[of_one][0][PROXIES.index("naswot")] == 9.0
    table = found.table[of_one][0][-len(PROXIES) :]
    assert table[PROXIES.index("snip")] == pytest.approx(-np.log(4))
    assert np.isnan(table).sum() == len(PROXIES) - 2
    assert np.isnan(found.proxies[~of_one]).all()


def test_recipes_are_told_apart_and_labels_without_graph_counted() -> None:
    store = MemoryLabelStore()
    bare = labelled(5, 0.1)
    assert bare.measurement is not None
    bare = dataclasses.replace(bare, measurement=dataclasses.replace(bare.measurement, graph=""))
    store.commit([labelled(1, 0.4), labelled(1, 0.5, steps=720), bare])
    sets, left_out = read_label_sets(store)
    assert left_out == 1
    assert len({one.name for one in sets}) == len(sets) == 2
    assert all(one.name.startswith("cells/seg/folder:/data/full/seg.laptop/") for one in sets)


def test_published_detectors_are_ranked_within_their_family() -> None:
    store = MemoryLabelStore()
    configs = [
        "retinanet/retinanet_r50_fpn_1x_coco.py",
        "pvt/retinanet_pvt-t_fpn_1x_coco.py",
        "dcn/faster-rcnn_r50_1x.py",
    ]
    for number, config in enumerate(configs):
        made = labelled(number, 0.3)
        network = Architecture.of("mmdet", {"config": f"configs/{config}"})
        request = dataclasses.replace(made.job.request, architecture=network)
        store.commit([dataclasses.replace(made, job=dataclasses.replace(made.job, request=request))])
    sets, _ = read_label_sets(store)
    assert [(one.name.split("/")[0], len(one)) for one in sets] == [("mmdet-faster-rcnn", 1), ("mmdet-retinanet", 2)]
    assert [one.space for one in sets] == ["mmdet-faster-rcnn", "mmdet-retinanet"]


def test_what_else_is_known_can_be_chosen() -> None:
    store = MemoryLabelStore()
    store.commit([labelled(n, 0.1 + 0.01 * n, steps=steps) for n in range(40) for steps in (360, 720)])
    sets, _ = read_label_sets(store)
    target, other = (one.name for one in sets)

    def labels(known: list[str]) -> list[object]:
        found = evaluate_models(sets, [target], ["architecture"], [0, 20], ["trees"], 1, known=known)
        return [answer.support_size for answer in found]

    assert labels([]) == labels([other]) == [0, 20]
    assert labels(["elsewhere"]) == [20]  # nothing to learn from without labels


def test_models_are_compared_on_a_stores_labels() -> None:
    store = MemoryLabelStore()
    store.commit([labelled(n, 0.1 + 0.01 * n) for n in range(60)])
    sets, _ = read_label_sets(store)
    shown: list[tuple[int, int]] = []
    rows = summarise(
        evaluate_models(sets, [], ["architecture"], [0, 20], ["flops", "gp"], 2, lambda *at: shown.append(at))
    )
    assert shown == [(1, 1)]  # nothing to learn from, whatever the seed
    # Without labels, and with no other set, only cost ranks.
    assert [(row["labels"], row["model"], row["seeds"]) for row in rows] == [
        (0, "flops", 2),
        (20, "flops", 2),
        (20, "gp", 2),
    ]
    assert all(row["spearman"] > 0.95 for row in rows)


def test_a_report_has_pictures_beside_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def in_turn(played: Sequence[QuestionBatch], models: Sequence[str], *_: object) -> list[list[Answer]]:
        return [[found for model in models for found in answer_batch(one, model)] for one in played]

    monkeypatch.setattr("orchestrator.predictors.evaluation._in_parallel", in_turn)
    store, report_file = str(tmp_path / "store"), tmp_path / "report.md"
    DeltaLabelStore(store).commit([labelled(n, 0.1 + 0.01 * n) for n in range(60)])
    asked = ["--split", "architecture", "--labels", "0,20", "--model", "flops", "--model", "gp", "--seeds", "2"]
    monkeypatch.setattr(sys, "argv", ["orchestrator", "evaluate", "--store", store, *asked, "--out", str(report_file)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    (picture,) = tmp_path.glob("*.png")
    assert picture.name.startswith("report-cells-seg-")
    text = report_file.read_text()
    assert text.count("| gp |") == 1
    assert f"]({picture.name})" in text


@pytest.mark.parametrize(
    ("patterns", "splits", "labels", "models", "error", "says"),
    [
        (["det"], [], [5], [], ConfigError, "--target det: no set of labels is called so; there are: cells/seg"),
        ([], ["sideways"], [5], [], ConfigError, "--split sideways: choose one of architecture, task, space"),
        ([], [], [100], [], ConfigError, "--labels: no set has 120 architectures"),
        ([], [], [5], ["oracle"], ModelError, "unknown model oracle"),
    ],
)
def test_mistakes_are_one_line(
    patterns: list[str], splits: list[str], labels: list[int], models: list[str], error: type[Exception], says: str
) -> None:
    store = MemoryLabelStore()
    store.commit([labelled(n, 0.1 * n) for n in range(3)])
    with pytest.raises(error, match=says):
        evaluate_models(read_label_sets(store)[0], patterns, splits, labels, models, 1)
