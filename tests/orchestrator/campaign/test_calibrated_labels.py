"""Calibrated labels from a store with cheap labels, some full ones, and proxies."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.campaign import calibration
from orchestrator.campaign.calibrated_labels import calibrate
from orchestrator.errors import ConfigError
from orchestrator.predictors.snapshot import Snapshot
from orchestrator.store.delta import DeltaLabelStore
from predictor.graph import Graph
from tests.support.audited_store import AUDITED, NETWORKS, audited_store

QUESTION = ("seg", "nasbench201", "shapes")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeltaLabelStore:
    monkeypatch.setattr(calibration, "_GROUPS", 3)  # a fit takes a second
    return audited_store(tmp_path / "labels")


def test_every_network_with_a_cheap_label_is_estimated(store: DeltaLabelStore) -> None:
    found = calibrate(store, *QUESTION)
    assert found.audited == AUDITED
    assert found.cheap.endswith(".shared")
    assert len(found.reports) == NETWORKS
    assert found.ranking.correlation is not None
    assert found.ranks["label"] is not None
    assert found.ranking.correlation > found.ranks["label"] + 0.05
    assert found.covered >= 0.75


def test_estimates_are_stored_with_their_deviation_and_the_cheap_label(store: DeltaLabelStore) -> None:
    assert store.commit(calibrate(store, *QUESTION).reports).labels == NETWORKS
    rows = store.labels(fidelity="calibrated").to_pylist()
    cheap = {row["architecture"]: row["value"] for row in store.labels(fidelity="shared").to_pylist()}
    for row in rows:
        metrics = dict(row["metrics"])
        assert metrics["cheap"] == cheap[row["architecture"]]
        assert metrics["deviation"] > 0
    assert store.commit(calibrate(store, *QUESTION).reports).labels == 0  # the same labels give the same estimates
    snapshot = Snapshot.empty().updated_to(store, store.version())
    assert set(snapshot.rows["fidelity"].to_pylist()) == {"shared", "full"}  # no predictor learns predictions
    graphs = store.graphs("seg", "nasbench201").to_pylist()
    assert {Graph.from_json(row["graph"]).flops for row in graphs} == {row["flops"] for row in rows}


def test_too_few_audited_networks_are_an_error(store: DeltaLabelStore) -> None:
    with pytest.raises(ConfigError, match=r"0 networks have both .* run `orchestrator label --audit 12`"):
        calibrate(store, "det", "nasbench201", "shapes")
