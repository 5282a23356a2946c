"""Label sets of a store, averaged over seeds and with unique names, and evaluations on them."""

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from orchestrator.cli.app import main
from orchestrator.errors import ConfigError
from orchestrator.predictors.evaluation import evaluate_models, matching_names
from orchestrator.predictors.label_sets import LabelSetIdentity, read_label_sets
from orchestrator.published.importing import import_results, trace_chunk
from orchestrator.published.results_file import read_results
from orchestrator.store.delta import DeltaLabelStore
from orchestrator.store.memory import MemoryLabelStore
from predictor.evaluation import Answer, QuestionBatch, answer_batch, summarise
from predictor.evaluation.metrics import Scores
from predictor.graph import Graph, Node
from predictor.label_set import PROXIES, LabelSet
from predictor.models import ModelError, Prediction
from tests.support.exit_codes import exit_code
from tests.support.store_reports import report
from workers.messages.architecture import Architecture
from workers.messages.label import AttemptReport


def graph(channels: int) -> str:
    conv = Node("conv", (0,), 3, channels, 64, 64, (3, 3), params=27 * channels, flops=3456 * channels)
    return Graph((Node("input", (), 3, 3, 64, 64), conv, Node("output", (1,), channels, channels)), (3, 8, 8)).to_json()


def labelled(number: int, value: float, seed: int = 0, steps: int = 360, fidelity: str = "full") -> AttemptReport:
    template = report(seed, task="seg", value=value, graph=graph(number + 1))
    request = dataclasses.replace(
        template.job.request,
        architecture=Architecture.of("cells", {"number": number}),
        recipe=template.job.request.recipe.model_copy(update={"steps": steps}),
        fidelity=fidelity,
    )
    return dataclasses.replace(template, job=dataclasses.replace(template.job, request=request))


def test_seeds_are_averaged_and_proxies_are_no_labels() -> None:
    store = MemoryLabelStore()
    store.commit([labelled(1, 0.4), labelled(1, 0.6, seed=1), labelled(2, 0.7), labelled(3, 9.0, fidelity="proxy")])
    (labels,), without_graph = read_label_sets(store)
    assert (labels.name, labels.space, labels.task, without_graph) == ("cells/seg/folder:/data", "cells", "seg", 0)
    assert sorted(labels.values) == [pytest.approx(0.5), pytest.approx(0.7)]
    assert set(np.round(2 ** labels.column("log_params") - 1)) == {54, 81}


def test_proxy_scores_are_inputs_of_labels_of_their_architecture_and_task() -> None:
    store = MemoryLabelStore()
    scored = labelled(1, 9.0, fidelity="proxy")
    assert scored.measurement is not None
    scored = dataclasses.replace(
        scored, measurement=dataclasses.replace(scored.measurement, metrics={"naswot": 9.0, "snip": -3.0})
    )
    store.commit([labelled(1, 0.4), labelled(2, 0.7), scored])
    (labels,), _ = read_label_sets(store)
    assert labels.proxies is not None
    scored_row = labels.values == 0.4
    assert labels.proxies[scored_row][0][PROXIES.index("naswot")] == 9.0
    table = labels.table[scored_row][0][-len(PROXIES) :]
    assert table[PROXIES.index("snip")] == pytest.approx(-np.log(4))
    assert np.isnan(table).sum() == len(PROXIES) - 2
    assert np.isnan(labels.proxies[~scored_row]).all()


def test_recipes_are_separate_sets_and_labels_without_graph_are_counted() -> None:
    store = MemoryLabelStore()
    graphless = labelled(5, 0.1)
    assert graphless.measurement is not None
    graphless = dataclasses.replace(graphless, measurement=dataclasses.replace(graphless.measurement, graph=""))
    store.commit([labelled(1, 0.4), labelled(1, 0.5, steps=720), graphless])
    sets, without_graph = read_label_sets(store)
    assert without_graph == 1
    assert len({labels.name for labels in sets}) == len(sets) == 2
    assert all(labels.name.startswith("cells/seg/folder:/data/full/seg.laptop/") for labels in sets)


def test_published_detectors_are_ranked_within_their_family() -> None:
    store = MemoryLabelStore()
    configs = [
        "retinanet/retinanet_r50_fpn_1x_coco.py",
        "pvt/retinanet_pvt-t_fpn_1x_coco.py",
        "dcn/faster-rcnn_r50_1x.py",
    ]
    for number, config in enumerate(configs):
        template = labelled(number, 0.3)
        network = Architecture.of("mmdet", {"config": f"configs/{config}"})
        request = dataclasses.replace(template.job.request, architecture=network)
        store.commit([dataclasses.replace(template, job=dataclasses.replace(template.job, request=request))])
    sets, _ = read_label_sets(store)
    assert [(labels.name.split("/")[0], len(labels)) for labels in sets] == [
        ("mmdet-faster-rcnn", 1),
        ("mmdet-retinanet", 2),
    ]
    assert [labels.space for labels in sets] == ["mmdet-faster-rcnn", "mmdet-retinanet"]


def test_the_sets_that_models_are_trained_on_can_be_chosen() -> None:
    store = MemoryLabelStore()
    store.commit([labelled(n, 0.1 + 0.01 * n, steps=steps) for n in range(40) for steps in (360, 720)])
    sets, _ = read_label_sets(store)
    target, other = (labels.name for labels in sets)

    def answered(known: list[str]) -> list[object]:
        answers = evaluate_models(sets, [target], ["architecture"], [0, 20], ["trees"], 1, jobs=1, known=known)
        return [answer.support_size for answer in answers]

    assert answered([]) == answered([other]) == [0, 20]
    assert answered([target]) == [20]  # without labels there is nothing to train on


def test_a_whole_name_selects_one_set_and_a_part_says_what_it_takes() -> None:
    names = ["timm/cls/imagenet-1k", "timm/cls/imagenet-1k-real", "cells/seg/x"]
    assert matching_names(names, [names[0]], "--target") == [names[0]]
    assert matching_names(names, ["imagenet"], "--target") == names[:2]
    assert matching_names(names, ["cells", names[1]], "--target") == names[1:]
    assert matching_names(names, [], "--target") == names
    with pytest.raises(ConfigError, match="--known pose: no label set has such a name; there are: timm/cls"):
        matching_names(names, ["cells", "pose"], "--known")


def test_a_killed_evaluation_leaves_the_report_of_what_was_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []

    def killed(batches: Sequence[QuestionBatch], models: Sequence[str], *_: object) -> Iterator[list[Answer]]:
        for batch in batches:
            if seen:
                raise KeyboardInterrupt
            seen.append(batch)
            yield answer_batch(batch, models)

    monkeypatch.setattr("orchestrator.predictors.evaluation._in_parallel", killed)
    store, report_file = str(tmp_path / "store"), tmp_path / "report.md"
    DeltaLabelStore(store).commit([labelled(n, 0.1 + 0.01 * n, steps=steps) for n in range(40) for steps in (360, 720)])
    options = ["--target", "cells", "--split", "architecture", "--labels", "20", "--model", "flops", "--seeds", "2"]
    monkeypatch.setattr(
        sys, "argv", ["orchestrator", "evaluate", "--store", store, *options, "--out", str(report_file)]
    )
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        main()
    text = report_file.read_text()
    assert text.startswith("Partial report: 1 of 4 batches of questions are answered.")
    assert text.count("| flops |") == 1
    assert "--target cells: 2 sets: cells/seg/folder:/data/full/seg.laptop/" in capsys.readouterr().err


def published(number: int, config: str, value: float) -> AttemptReport:
    template = labelled(number, value)
    space, _, name = config.partition(":")
    request = dataclasses.replace(template.job.request, architecture=Architecture.of(space, {"config": name}))
    return dataclasses.replace(template, job=dataclasses.replace(template.job, request=request))


def test_published_segmentors_and_pose_networks_are_one_set_with_families() -> None:
    store, pose = MemoryLabelStore(), "configs/body_2d_keypoint/topdown_heatmap/coco/td-hm"
    configs = {
        "mmseg:configs/pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py": "pspnet",
        "mmseg:configs/resnest/resnest_s101-d8_pspnet_4xb4-160k_ade20k-512x512.py": "resnest",
        f"mmpose:{pose}_3xrsn50_8xb32-210e_coco-256x192.py": "rsn",
        f"mmpose:{pose}_resnetv1d101_8xb64-210e_coco-256x192.py": "resnetv1d",
        f"mmpose:{pose}_litehrnet-18_8xb64-210e_coco-256x192.py": "litehrnet",
    }
    store.commit([published(number, config, 0.3) for number, config in enumerate(configs)])
    sets, _ = read_label_sets(store)
    assert [(labels.name.split("/")[0], len(labels)) for labels in sets] == [("mmpose", 3), ("mmseg", 2)]
    found = {family for labels in sets if labels.families is not None for family in labels.families}
    assert found == set(configs.values())


def test_families_are_left_out_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryLabelStore()
    configs = [f"mmdet:configs/{name}/{name}_r{n}_1x.py" for n in range(8) for name in ("atss", "paa", "tood")]
    store.commit([published(number, config, 0.1 + 0.01 * number) for number, config in enumerate(configs)])
    sets, _ = read_label_sets(store)
    assert [labels.space for labels in sets] == ["mmdet-atss", "mmdet-paa", "mmdet-tood"]
    answers = evaluate_models(sets, ["mmdet"], ["family"], [5], ["flops", "gp"], 2, jobs=1)
    assert [(a.target, a.split, a.support_size, a.model, a.query_size) for a in answers] == [
        ("mmdet/seg/folder:/data", "family", "others", model, 24) for model in ("flops", "gp")
    ]
    with pytest.raises(ConfigError, match="--split family: no label set has several families and 20 architectures"):
        evaluate_models(sets[:1], [], ["family"], [5], ["flops"], 2, jobs=1)


def test_labels_may_be_any_real_numbers_of_which_the_lowest_is_best(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, store = tmp_path / "latency.csv", str(tmp_path / "store")
    rows = [f"timm:{name},latency,phone,latency_ms,{ms},64" for name, ms in (("resnet18", 31.5), ("resnet34", 60))]
    path.write_text("\n".join(["model,task,dataset,metric,value,input_size", *rows]) + "\n")
    results, rejected = read_results(path)
    assert rejected == []
    import_results(results, DeltaLabelStore(store), lambda chunks: map(trace_chunk, chunks))
    (labels,), _ = read_label_sets(DeltaLabelStore(store))
    assert (labels.name, labels.lower_is_better, sorted(labels.values)) == ("timm/latency/phone", True, [31.5, 60])
    exit_code(monkeypatch, "labels", "--store", store, "--json")
    assert [row["value"] for row in json.loads(capsys.readouterr().out)] == [31.5, 60]


def test_models_are_compared_on_a_stores_labels() -> None:
    store = MemoryLabelStore()
    store.commit([labelled(n, 0.1 + 0.01 * n) for n in range(60)])
    sets, _ = read_label_sets(store)
    shown: list[tuple[int, int]] = []
    rows = summarise(
        evaluate_models(sets, [], ["architecture"], [0, 20], ["flops", "gp"], 2, lambda *at: shown.append(at))
    )
    assert shown == [(1, 1)]  # there is nothing to train on, so that all seeds share one batch
    # Without labels and without another set only the cost model predicts.
    assert [(row["labels"], row["model"], row["seeds"]) for row in rows] == [
        (0, "flops", 2),
        (20, "flops", 2),
        (20, "gp", 2),
    ]
    assert all(row["spearman"] > 0.95 for row in rows)


def test_a_report_has_pictures_next_to_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def in_this_process(batches: Sequence[QuestionBatch], models: Sequence[str], *_: object) -> list[list[Answer]]:
        return [answer_batch(batch, models) for batch in batches]

    monkeypatch.setattr("orchestrator.predictors.evaluation._in_parallel", in_this_process)
    store, report_file = str(tmp_path / "store"), tmp_path / "report.md"
    DeltaLabelStore(store).commit([labelled(n, 0.1 + 0.01 * n) for n in range(60)])
    options = ["--split", "architecture", "--labels", "0,20", "--model", "flops", "--model", "gp", "--seeds", "2"]
    monkeypatch.setattr(
        sys, "argv", ["orchestrator", "evaluate", "--store", store, *options, "--out", str(report_file)]
    )
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 0
    (picture,) = tmp_path.glob("*.png")
    assert picture.name.startswith("report-cells-seg-")
    text = report_file.read_text()
    assert text.count("| gp |") == 1
    assert f"]({picture.name})" in text


def test_nested_rows_come_from_what_was_best_on_other_spaces(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each space is best predicted by another model, so each gets the answers of the worse one."""
    spearman = {
        ("cells", "default"): 0.9,
        ("cells", "default:slope=0"): 0.1,
        ("b", "default"): 0.2,
        ("b", "default:slope=0"): 0.8,
    }

    def given(sets: Sequence[LabelSet], *_: object) -> list[Answer]:
        nothing, answers = np.zeros(2), list[Answer]()
        for labels in sets:
            for model in ("default", "default:slope=0"):
                scores = Scores(1.0, spearman[labels.space, model], 0.0, 0.0, 0.9)
                cell = (labels.name, "space", 20, 0, model, 2)
                answers.append(Answer(*cell, scores, Prediction(nothing, nothing), nothing))
        return answers

    monkeypatch.setattr("orchestrator.predictors.evaluation.evaluate_models", given)
    template = labelled(1, 0.3)
    elsewhere = dataclasses.replace(template.job.request, architecture=Architecture.of("b", {"n": 1}))
    moved = dataclasses.replace(template, job=dataclasses.replace(template.job, request=elsewhere))
    store = str(tmp_path / "store")
    DeltaLabelStore(store).commit([template, moved])
    options = ["--nested", "--model", "default", "--model", "default:slope=0", "--json"]
    assert exit_code(monkeypatch, "evaluate", "--store", store, *options) == 0
    printed = capsys.readouterr()
    rows = {row["target"].split("/")[0]: row for row in json.loads(printed.out) if row["model"] == "nested"}
    assert (rows["cells"]["spearman"], rows["b"]["spearman"]) == (0.1, 0.2)
    assert "nested, space: cells: default:slope=0, 0.800 on other spaces" in printed.err
    assert "nested, space: b: default, 0.900 on other spaces" in printed.err


def test_an_identity_is_stored_as_a_list() -> None:
    kind = ["cells", "seg", "folder:/data", "full", "seg.laptop", "e96c120f87edc66c"]
    identity = LabelSetIdentity.from_kind(kind)
    assert identity is not None
    assert identity.short_name == "cells/seg/folder:/data"
    assert identity.recipe == "full/seg.laptop/e96c120f87edc66c"
    assert list(identity.to_kind()) == kind
    assert LabelSetIdentity.from_kind([]) is None  # as in generations that did not record it


@pytest.mark.parametrize(
    ("patterns", "splits", "labels", "models", "error", "message"),
    [
        (["det"], [], [5], [], ConfigError, "--target det: no label set has such a name; there are: cells/seg"),
        ([], ["sideways"], [5], [], ConfigError, "--split sideways: choose one of architecture, task, space, family"),
        ([], [], [100], [], ConfigError, "--labels: no label set has 120 architectures"),
        ([], [], [5], ["oracle"], ModelError, "unknown model oracle"),
    ],
)
def test_user_errors_are_one_line(
    patterns: list[str], splits: list[str], labels: list[int], models: list[str], error: type[Exception], message: str
) -> None:
    store = MemoryLabelStore()
    store.commit([labelled(n, 0.1 * n) for n in range(3)])
    with pytest.raises(error, match=message):
        evaluate_models(read_label_sets(store)[0], patterns, splits, labels, models, 1)
