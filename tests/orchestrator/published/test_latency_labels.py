"""Measured networks become labels of their device, which a generation knows how to build again."""

from __future__ import annotations

import math
from typing import Any

import pytest
from torch import nn

from orchestrator.errors import ConfigError
from orchestrator.predictors.label_groups import label_groups
from orchestrator.predictors.label_sets import LabelSetIdentity, read_label_sets
from orchestrator.predictors.labelled_networks import record_networks
from orchestrator.published import latency_labels
from orchestrator.published.label_network import BuildOptions, LabelNetworks
from orchestrator.published.latency_labels import LatencyQuestion, MeasuredHead, failed_rows, measure_networks
from orchestrator.store.memory import MemoryLabelStore
from predictor.errors import AIOPError
from predictor.graph import Graph
from predictor.metadata import GenerationMetadata, LearnedSet
from workers.latency.measurement import Latency
from workers.latency.settings import LatencySettings
from workers.latency.timing import Timing

CELL = "nasbench201:|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|avg_pool_3x3~2|"
SETTINGS = LatencySettings(threads=1)
SIZE = (3, 32, 32)


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The networks that were measured, on a device without time: the nth takes n milliseconds."""
    networks = list[nn.Module]()

    class Probe:
        def __init__(self, network: nn.Module, input_size: tuple[int, int, int], settings: LatencySettings) -> None:
            networks.append(network)
            self._settings, self._milliseconds, self._rounds = settings, len(networks), 0

        def measure_round(self, rounds: int) -> None:
            self._rounds += 1

        def latency(self) -> Latency:
            timing = Timing(self._milliseconds, 0.5, 9.0, 7, 3, self._rounds)
            return Latency(timing, self._settings, "Device X", math.nan)

    monkeypatch.setattr(latency_labels, "LatencyProbe", Probe)
    monkeypatch.setattr(latency_labels, "device_name", lambda settings: "Device X")
    monkeypatch.setattr(latency_labels, "_ROUND_S", 0.0)
    return networks


def ask(*models: str, store: MemoryLabelStore | None = None, **fields: Any) -> list[dict[str, Any]]:
    return measure_networks(LatencyQuestion(models, SETTINGS, **{"input_size": SIZE} | fields), store)


def test_a_row_has_the_numbers_and_the_network(measured: list[nn.Module]) -> None:
    (row,) = ask(CELL)
    assert (row["ms"], row["spread"], row["wall_ms"], row["repeats"], row["warm_up"]) == (1, 0.5, 9, 7, 3)
    assert (row["load"], row["busy"], row["device_name"], row["source"]) == (None, True, "Device X", "measured")
    assert row["data"] == "cpu:device-x/threads1/batch1/fp32/eager"
    assert (row["input_size"], row["recipe"], row["head"], row["error"]) == ([32, 32], "whole.32x32", None, None)
    assert row["flops"] > 0
    assert row["rounds"] == 20
    assert [row["rounds"] for row in ask(CELL, "timm:resnet10t")] == [20, 20]
    assert not any(weight.is_meta for weight in measured[0].parameters())


def test_rounds_are_spread_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = list[float]()
    monkeypatch.setattr(latency_labels, "_ROUND_S", 30.0)
    monkeypatch.setattr(latency_labels.time, "sleep", waits.append)
    settings = LatencySettings(threads=1, repeats=12)
    (row,) = measure_networks(LatencyQuestion((CELL,), settings, input_size=SIZE))
    assert row["rounds"] == 2
    assert len(waits) == 1
    assert 0 < waits[0] < 30


def test_nothing_is_waited_for_where_no_network_can_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency_labels, "_ROUND_S", 30.0)
    with pytest.raises(ConfigError):
        ask("oops")


def test_one_bad_name_does_not_lose_the_others() -> None:
    rows = ask(CELL, "timm:resnet_50", "net.onnx", "oops")
    assert [row["error"] is None for row in rows] == [True, False, False, False]
    assert len(failed_rows(rows)) == 3
    assert all("\n" not in row["error"] for row in rows[1:])


def test_a_bad_name_alone_is_an_error() -> None:
    with pytest.raises(ConfigError, match="timm has no model of that name"):
        ask("timm:resnet_50")


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (MeasuredHead("sge"), "unknown task 'sge'"),
        (MeasuredHead("seg", "cloud"), "unknown recipe for task seg 'cloud'"),
        (MeasuredHead("seg", data="shpaes"), "unknown data format 'shpaes'"),
    ],
)
def test_a_head_that_does_not_exist(head: MeasuredHead, says: str) -> None:
    with pytest.raises(AIOPError, match=says):
        ask(CELL, head=head)


def test_a_label_is_measured_once_unless_asked_again(measured: list[nn.Module]) -> None:
    store = MemoryLabelStore()
    assert [row["source"] for row in ask(CELL, store=store)] == ["measured"]
    (known,) = ask(CELL, store=store)
    assert (known["source"], known["ms"], len(measured)) == ("store", 1, 1)
    (again,) = ask(CELL, store=store, again=True)
    assert (again["source"], again["ms"]) == ("measured", 2)
    rows = store.labels().to_pylist()
    assert all(dict(row["seconds"]).keys() == {"measure"} for row in rows)
    assert sorted(row["seed"] for row in rows) == [0, 1]
    assert {(row["task"], row["fidelity"], row["metric"], row["data"]) for row in rows} == {
        ("latency", "measured", "latency_ms", "cpu:device-x/threads1/batch1/fp32/eager")
    }
    ((labels,), skipped) = read_label_sets(store)
    assert (labels.lower_is_better, labels.values.tolist(), skipped) == (True, [1.5], 0)


@pytest.mark.parametrize("head", [None, MeasuredHead("seg"), MeasuredHead("seg", "ade20k"), MeasuredHead("cls")])
def test_a_generation_builds_the_same_network_again(head: MeasuredHead | None) -> None:
    store = MemoryLabelStore()
    (row,) = ask(CELL, store=store, head=head, input_size=(3, 64, 64))
    (label,) = store.labels().to_pylist()
    ((labels,), _) = read_label_sets(store)
    kind = LabelSetIdentity.of_label(label).to_kind()
    learned = LearnedSet(name=labels.name, task="latency", data=labels.data, space="nasbench201", labels=1, kind=kind)
    metadata = record_networks(GenerationMetadata(model="default", version=store.version(), sets=(learned,)), store)
    (group,) = label_groups(metadata.sets, "latency")
    assert group.whole is (head is None)
    built = LabelNetworks(group, BuildOptions()).build(CELL)
    (text,) = store.graphs().column("graph").to_pylist()
    assert built.graph == Graph.from_json(text)
    assert (built.graph.flops, built.head) == (row["flops"], row["head"])


def test_one_network_under_two_names_is_two_measurements() -> None:
    store = MemoryLabelStore()
    rows = ask("timm:resnet10t", "zoo:resnet10t", store=store)
    assert [row["ms"] for row in rows] == [1, 2]
    assert sorted(store.labels().column("seed").to_pylist()) == [0, 1]
    assert [row["source"] for row in ask("timm:resnet10t", "zoo:resnet10t", store=store)] == ["store", "store"]


def test_classes_come_from_the_recipes_data_set() -> None:
    small, large = (ask(CELL, head=MeasuredHead("seg", recipe))[0]["params"] for recipe in ("laptop", "ade20k"))
    assert small < large
