"""Merging small files: which ones, in which order, and under the same lock as an append."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, Field
from deltalake.exceptions import CommitFailedError
from deltalake.schema import PrimitiveType

from orchestrator.store import DeltaLabelStore, compaction, delta_log, keyed_table
from orchestrator.store.compaction import _File, _mergeable, _parts
from orchestrator.store.delta_log import replace_files
from orchestrator.store.schema import LABELS
from predictor.graph import Graph, Node
from tests.support.store_reports import report
from workers.messages.label import AttemptReport


def _sizes(files: Sequence[_File]) -> list[int]:
    return [file.size for file in files]


def _files(*sizes: int, rows: int = 1) -> list[_File]:
    return [_File(str(number), size, rows) for number, size in enumerate(sizes)]


def _mixed(first: int, last: int) -> list[AttemptReport]:
    return [report(seed, task=("seg", "cls", "pose")[seed % 3], started=1e9 - seed) for seed in range(first, last)]


def test_a_file_waits_until_the_smaller_ones_have_as_many_bytes() -> None:
    assert _sizes(_mergeable(_files(100, 10, 10, 10), everything=False)) == [10, 10, 10]
    assert _sizes(_mergeable(_files(30, 10, 10, 10), everything=False)) == [10, 10, 10, 30]
    assert _mergeable(_files(10, 25, 90), everything=False) == []
    assert _sizes(_mergeable(_files(100, 10, 10, 10), everything=True)) == [10, 10, 10, 100]


def test_rows_are_rewritten_a_few_times_only() -> None:
    live, rewritten = list[_File](), 0
    for number in range(1, 2049):
        live.append(_File(str(number), 1000, 1))
        if number % 8 == 0 and (merged := _mergeable(live, everything=False)):
            total = sum(_sizes(merged))
            rewritten += total
            live = [file for file in live if file not in merged] + [_File(f"m{number}", total, 1)]
    assert rewritten <= 12 * 2048 * 1000
    assert len(live) <= 20


def test_new_files_have_limited_rows_and_bytes() -> None:
    files = _files(10 << 20, 5 << 20, 5 << 20)
    assert [_sizes(part) for part in _parts(files, 100)] == [[10 << 20, 5 << 20], [5 << 20]]
    assert [len(part) for part in _parts(_files(*[1] * 5, rows=30), 65)] == [2, 2, 1]


def test_files_with_many_rows_or_graphs_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_MERGED_ROWS", 40)
    monkeypatch.setattr(compaction, "_MERGED_GRAPHS", 8)
    store, graph = DeltaLabelStore(tmp_path), Graph((Node("input"),), (3, 8, 8)).to_json()
    for number in range(0, 20, 5):
        store.commit([report(seed, space=f"s{seed}", graph=graph) for seed in range(number, number + 5)])
    store.commit([report(seed) for seed in range(20, 45)])
    store.compact()
    files = [
        sorted(pa.table(DeltaTable(tmp_path / table).get_add_actions())["num_records"].to_pylist())
        for table in ("labels", "graphs")
    ]
    assert files == [[20, 25], [5, 5, 5, 5]]


def test_readers_skip_groups_of_a_merged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_GROUP_ROWS", 10)
    store = DeltaLabelStore(tmp_path)
    for number in range(0, 30, 10):
        store.commit(_mixed(number, number + 10))
    store.compact()
    (path,) = DeltaTable(tmp_path / "labels").file_uris()
    footer, column = pq.read_metadata(path), LABELS.get_field_index("task")
    groups = [footer.row_group(number).column(column).statistics for number in range(footer.num_row_groups)]
    assert [(group.min, group.max) for group in groups] == [("cls", "cls"), ("pose", "pose"), ("seg", "seg")]
    (live,) = pa.table(DeltaTable(tmp_path / "labels").get_add_actions(flatten=True)).to_pylist()
    assert (live["num_records"], live["min.key"], live["max.key"]) == (30, min(store.keys()), max(store.keys()))
    assert store.labels(task="pose", columns=["seed"]).column("seed").to_pylist() == list(range(29, 0, -3))


def test_some_files_are_replaced_and_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed_table, "COMPACT_EVERY", 100)
    store, other = DeltaLabelStore(tmp_path), DeltaLabelStore(tmp_path)
    store.commit(_mixed(0, 3000))
    (large,) = DeltaTable(tmp_path / "labels").file_uris()
    first = store.version()
    for number in range(3000, 3004):
        store.commit(_mixed(number, number + 1))
    other.count()
    table = store._labels
    table._compact(table._open_or_create())
    uris = DeltaTable(tmp_path / "labels").file_uris()
    assert len(uris) == 2
    assert large in uris
    assert sorted(store.labels_since(first)["seed"].to_pylist()) == list(range(3000, 3004))
    assert (other.commit(_mixed(2999, 3005)).labels, other.count()) == (1, 3005)
    assert sorted(store.labels()["seed"].to_pylist()) == list(range(3005))
    assert not list((tmp_path / "labels" / "_delta_log").glob("*.tmp"))


def test_a_replacement_is_refused_after_another_commit(tmp_path: Path) -> None:
    store = DeltaLabelStore(tmp_path)
    for seed in range(3):
        store.commit([report(seed)])
    stale = DeltaTable(tmp_path / "labels")
    store.commit([report(3)])
    before = sorted(path.name for path in (tmp_path / "labels" / "_delta_log").iterdir())
    with pytest.raises(CommitFailedError, match="version 4 exists"):
        replace_files(stale, tmp_path / "labels", [], [])
    assert sorted(path.name for path in (tmp_path / "labels" / "_delta_log").iterdir()) == before
    assert store.count() == 4


@pytest.mark.parametrize("where", ["before the entry", "in the entry"])
def test_a_killed_compaction_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    store = DeltaLabelStore(tmp_path)
    store.commit(_mixed(0, 2000))
    for seed in range(2000, 2003):
        store.commit(_mixed(seed, seed + 1))
    version = store.version()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    table = store._labels
    with monkeypatch.context() as patch:
        if where == "in the entry":
            patch.setattr(delta_log.os, "link", die)
        else:
            patch.setattr("orchestrator.store.compaction.replace_files", die)
        with pytest.raises(KeyboardInterrupt):
            table._compact(table._open_or_create())
    again = DeltaLabelStore(tmp_path)
    assert (again.version(), again.count()) == (version, 2003)
    again.compact()
    assert sorted(again.labels()["seed"].to_pylist()) == list(range(2003))


def _add_column(path: Path) -> None:
    DeltaTable(path).alter.add_columns([Field("extra", PrimitiveType("string"), nullable=True)])


def _allow_deleted_rows(path: Path) -> None:
    DeltaTable(path).alter.set_table_properties({"delta.enableDeletionVectors": "true"})


@pytest.mark.parametrize("change", [_add_column, _allow_deleted_rows])
def test_files_that_may_hold_more_or_less_than_our_rows_are_not_merged(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    store = DeltaLabelStore(tmp_path)
    for seed in range(3):
        store.commit([report(seed)])
    change(tmp_path / "labels")
    store.compact()
    assert len(DeltaTable(tmp_path / "labels").file_uris()) == 3


def test_a_table_with_features_of_other_writers_is_rewritten_as_a_whole(tmp_path: Path) -> None:
    store = DeltaLabelStore(tmp_path)
    store.commit(_mixed(0, 2000))
    DeltaTable(tmp_path / "labels").alter.set_table_properties({"delta.enableChangeDataFeed": "true"})
    for seed in range(2000, 2003):
        store.commit(_mixed(seed, seed + 1))
    store.compact()
    assert len(DeltaTable(tmp_path / "labels").file_uris()) == 1
    newest = f"{DeltaTable(tmp_path / 'labels').version():020d}.json"
    entries = [json.loads(line) for line in (tmp_path / "labels/_delta_log" / newest).read_text().splitlines()]
    assert sum("remove" in entry for entry in entries) == 4
    assert sorted(store.labels()["seed"].to_pylist()) == list(range(2003))
