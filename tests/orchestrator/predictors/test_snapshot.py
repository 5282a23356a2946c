"""A replay grows by what is new alone, says what the whole store says, and is refused where it was damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orchestrator.predictors import snapshot as module
from orchestrator.predictors.label_sets import label_sets_of, read_label_sets
from orchestrator.predictors.snapshot import Snapshot
from orchestrator.predictors.snapshot_file import SnapshotError, read_snapshot, write_snapshot
from orchestrator.store.delta import DeltaLabelStore
from predictor.graph import Graph
from predictor.label_set import LabelSet
from tests.support.labelled_networks import labelled


@pytest.fixture
def store(tmp_path: Path) -> DeltaLabelStore:
    """20 labels of each of two tasks in version 1, one task's next 10 in version 2; merged in version 3."""
    made = DeltaLabelStore(tmp_path / "labels")
    made.commit([labelled(number, task) for number in range(20) for task in ("seg", "det")])
    made.commit([labelled(number) for number in range(20, 30)])
    made.compact()
    return made


def same(one: LabelSet, other: LabelSet) -> bool:
    return one == other and np.array_equal(one.statistics, other.statistics)


def test_only_new_graphs_are_read(store: DeltaLabelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[str]()
    monkeypatch.setattr(module.Graph, "from_json", lambda text, was=Graph.from_json: read.append(text) or was(text))
    first = Snapshot.nothing().grown(store, 1)
    assert (first.rows.num_rows, len(first.pool), len(read)) == (40, 20, 20)  # both tasks have the same networks
    second = first.grown(store, store.version())
    assert (second.rows.num_rows, len(second.pool), len(read)) == (50, 30, 30)
    assert second.grown(store, store.version()).rows.num_rows == 50
    sets, without = read_label_sets(store)
    grown, same_without = label_sets_of(second)
    assert without == same_without == 0
    assert [one.name for one in sets] == ["cells/det/folder:/data", "cells/seg/folder:/data"]
    assert all(map(same, sets, grown.values()))


def test_where_the_store_has_forgotten_the_rest_is_told_by_keys(
    store: DeltaLabelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Snapshot.nothing().grown(store, 1)
    (live,) = (Path(uri).name for uri in store._labels._opened_or_made().file_uris())
    for path in Path(store._labels._uri).glob("*.parquet"):
        if path.name != live:
            path.unlink()
    assert first.grown(store, store.version()).rows.num_rows == 50


def test_what_is_kept_is_the_same(store: DeltaLabelStore, tmp_path: Path) -> None:
    whole = Snapshot.nothing().grown(store, 1)
    write_snapshot(tmp_path / "kept", whole)
    write_snapshot(tmp_path / "kept", whole)
    kept = read_snapshot(tmp_path / "kept")
    assert kept.version == 1
    for one, other in zip(label_sets_of(whole)[0].values(), label_sets_of(kept)[0].values(), strict=True):
        assert same(one, other)
    assert kept.grown(store, 2).rows.num_rows == 50
    write_snapshot(tmp_path / "nothing", Snapshot.nothing())
    assert len(read_snapshot(tmp_path / "nothing").pool) == 0


def test_damage_is_told_in_one_line(store: DeltaLabelStore, tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="there is none"):
        read_snapshot(tmp_path / "kept")
    write_snapshot(tmp_path / "kept", Snapshot.nothing().grown(store, 1))
    for path in sorted((tmp_path / "kept").iterdir()):
        content = path.read_bytes()
        if path.suffix != ".json":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            with pytest.raises(SnapshotError, match=f"{path.name} is not as it was written"):
                read_snapshot(tmp_path / "kept")
        else:
            path.write_text(content.decode().replace('"format": 1', '"format": 9'))
            with pytest.raises(SnapshotError, match="of another version"):
                read_snapshot(tmp_path / "kept")
        path.write_bytes(content)
    read_snapshot(tmp_path / "kept")
