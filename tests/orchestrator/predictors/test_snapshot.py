"""A snapshot reads only what is new, equals the whole store, and is refused if it is damaged."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from orchestrator.predictors import snapshot as module
from orchestrator.predictors.label_sets import build_label_sets, read_label_sets
from orchestrator.predictors.snapshot import Snapshot
from orchestrator.predictors.snapshot_file import SnapshotError, read_snapshot, write_snapshot
from orchestrator.store.delta import DeltaLabelStore
from predictor.graph import Graph
from predictor.label_set import LabelSet
from tests.support.labelled_networks import labelled


@pytest.fixture
def store(tmp_path: Path) -> DeltaLabelStore:
    """20 labels of each of two tasks in version 1, 10 more of one task in version 2; compacted in version 3."""
    label_store = DeltaLabelStore(tmp_path / "labels")
    label_store.commit([labelled(number, task) for number in range(20) for task in ("seg", "det")])
    label_store.commit([labelled(number) for number in range(20, 30)])
    label_store.compact()
    return label_store


def equal(first: LabelSet, second: LabelSet) -> bool:
    return first == second and np.array_equal(first.statistics, second.statistics)


def test_only_new_graphs_are_read(store: DeltaLabelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[str]()
    monkeypatch.setattr(module.Graph, "from_json", lambda text, parse=Graph.from_json: read.append(text) or parse(text))
    first = Snapshot.empty().updated_to(store, 1)
    assert (first.rows.num_rows, len(first.pool), len(read)) == (40, 20, 20)  # both tasks have the same networks
    second = first.updated_to(store, store.version())
    assert (second.rows.num_rows, len(second.pool), len(read)) == (50, 30, 30)
    assert second.updated_to(store, store.version()).rows.num_rows == 50
    sets, without_graph = read_label_sets(store)
    of_snapshot, also_without = build_label_sets(second)
    assert without_graph == also_without == 0
    assert [labels.name for labels in sets] == ["cells/det/folder:/data", "cells/seg/folder:/data"]
    assert all(map(equal, sets, of_snapshot.values()))


def test_new_labels_are_found_by_key_if_the_old_version_was_vacuumed(store: DeltaLabelStore) -> None:
    first = Snapshot.empty().updated_to(store, 1)
    (live,) = (Path(uri).name for uri in store._labels._open_or_create().file_uris())
    for path in Path(store._labels._uri).glob("*.parquet"):
        if path.name != live:
            path.unlink()
    assert first.updated_to(store, store.version()).rows.num_rows == 50


def test_a_snapshot_is_read_as_it_was_written(store: DeltaLabelStore, tmp_path: Path) -> None:
    written = Snapshot.empty().updated_to(store, 1)
    write_snapshot(tmp_path / "snapshot", written)
    write_snapshot(tmp_path / "snapshot", written)
    read = read_snapshot(tmp_path / "snapshot")
    assert read.version == 1
    for first, second in zip(build_label_sets(written)[0].values(), build_label_sets(read)[0].values(), strict=True):
        assert equal(first, second)
    assert read.updated_to(store, 2).rows.num_rows == 50
    write_snapshot(tmp_path / "empty", Snapshot.empty())
    assert len(read_snapshot(tmp_path / "empty").pool) == 0


def test_damage_is_a_one_line_error(store: DeltaLabelStore, tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="does not exist"):
        read_snapshot(tmp_path / "snapshot")
    write_snapshot(tmp_path / "snapshot", Snapshot.empty().updated_to(store, 1))
    for path in sorted((tmp_path / "snapshot").iterdir()):
        content = path.read_bytes()
        if path.suffix != ".json":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            with pytest.raises(SnapshotError, match=f"{path.name}: checksum mismatch"):
                read_snapshot(tmp_path / "snapshot")
        else:
            path.write_text(content.decode().replace('"format": 1', '"format": 9'))
            with pytest.raises(SnapshotError, match="by another version"):
                read_snapshot(tmp_path / "snapshot")
        path.write_bytes(content)
    read_snapshot(tmp_path / "snapshot")
    description = json.loads((tmp_path / "snapshot/replay.json").read_text())
    for document in ({"version": 1}, {"sha256": 3, "version": 1}, {"sha256": {}, "version": "x"}):
        (tmp_path / "snapshot/replay.json").write_text(
            json.dumps({k: description[k] for k in ("format", "reads")} | document)
        )
        with pytest.raises(SnapshotError, match="has no hashes or no version"):
            read_snapshot(tmp_path / "snapshot")
    for name in ("rows.arrow", "graphs.safetensors"):  # with a checksum that fits
        digests = description["sha256"] | {name: hashlib.sha256(b"torn").hexdigest()}
        content = (tmp_path / "snapshot" / name).read_bytes()
        (tmp_path / "snapshot" / name).write_bytes(b"torn")
        (tmp_path / "snapshot/replay.json").write_text(json.dumps(description | {"sha256": digests}))
        with pytest.raises(SnapshotError, match="cannot be read"):
            read_snapshot(tmp_path / "snapshot")
        (tmp_path / "snapshot" / name).write_bytes(content)
