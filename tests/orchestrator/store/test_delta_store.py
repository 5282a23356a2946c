"""Cases of the Delta store only: other processes, other versions, damage, and speed of large stores."""

import json
import multiprocessing
import shutil
import time
from pathlib import Path
from statistics import median

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from orchestrator.errors import StoreCorruptError, StoreError, StoreSchemaError, StoreVacuumedError
from orchestrator.store import Committer, DeltaLabelStore, compaction, keyed_table
from orchestrator.store.schema import LABELS, table_description
from predictor.graph import Graph, Node
from tests.support.store_reports import report
from workers.storage.folder_spool import FolderSpool

FIXTURE = Path(__file__).parent / "fixtures" / "v1"


def _drain(store, spool, ready):
    committer = Committer(DeltaLabelStore(store), FolderSpool(Path(spool)), batch=3)
    ready.wait()
    while committer.run_once() is not None:
        pass


def test_two_processes_never_double_a_key(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, store = context.Barrier(2), str(tmp_path / "store")
    committers = []
    for number in range(2):
        spool = FolderSpool(tmp_path / f"spool{number}")
        for seed in range(number * 10, number * 10 + 30):  # 20 keys in common
            spool.put(report(seed, campaign=f"c{number}"))
        committers.append(context.Process(target=_drain, args=(store, str(spool.directory), ready)))
    for committer in committers:
        committer.start()
    for committer in committers:
        committer.join(60)
    assert [committer.exitcode for committer in committers] == [0, 0]
    made = DeltaLabelStore(store)
    assert sorted(made.labels().column("seed").to_pylist()) == list(range(40))
    ids = made.attempts().column("attempt_id").to_pylist()
    assert len(ids) == len(set(ids)) == 60


def test_a_stale_handle_is_refreshed_after_a_conflict(tmp_path):
    first, second = DeltaLabelStore(tmp_path), DeltaLabelStore(tmp_path)
    first.commit([report(0)])
    assert second.keys() == {report(0).job.request.key}
    for seed in range(1, 6):
        first.commit([report(seed)])
    done = second.commit([report(seed) for seed in range(3, 8)])
    assert (done.labels, done.duplicates, done.attempts) == (2, 3, 2)
    first.compact()
    done = second.commit([report(1), report(8)])
    assert (done.labels, done.duplicates) == (1, 1)
    assert sorted(first.labels().column("seed").to_pylist()) == list(range(9))
    assert len(first.keys()) == 9


def test_reloads_all_keys_after_the_log_was_cleaned_up(tmp_path):
    first, second = DeltaLabelStore(tmp_path), DeltaLabelStore(tmp_path)
    first.commit([report(0)])
    second.keys()
    first.commit([report(1)])
    first.commit([report(2)])
    first.compact()
    log = tmp_path / "labels" / "_delta_log"
    for version in range(3):
        (log / f"{version:020d}.json").unlink()
    assert len(second.keys()) == 3
    assert second.commit([report(1), report(3)]).labels == 1


@pytest.mark.parametrize("missing", ["log", "files"])
def test_labels_since_a_version_without_its_log_or_files(tmp_path, missing):
    store = DeltaLabelStore(tmp_path)
    for seed in range(4):
        store.commit([report(seed)])
    store.compact()
    second, newest = 2, store.version()
    if missing == "log":
        (tmp_path / "labels" / "_delta_log" / f"{3:020d}.json").unlink()
        rows = store.labels_since(second, newest)
        assert sorted(rows.column("seed").to_pylist()) == [2, 3]
        return
    (live,) = DeltaTable(tmp_path / "labels").file_uris()
    for path in (tmp_path / "labels").glob("*.parquet"):
        if path.name != Path(live).name:
            path.unlink()
    with pytest.raises(StoreVacuumedError, match=r"version 2 was vacuumed .*: re-read the whole table") as caught:
        store.labels_since(second, newest)
    assert "\n" not in str(caught.value)
    assert store.labels_since(-1).num_rows == 4


def test_commits_to_a_large_store_are_as_fast_as_the_first_ones(tmp_path):
    old, young = DeltaLabelStore(tmp_path / "old"), DeltaLabelStore(tmp_path / "young")
    for seed in range(136):
        old.commit([report(seed)])
    young.commit([report(0)])
    seconds = {old: [], young: []}
    for seed in range(136, 151):  # alternating, so that other load on the machine slows both
        for store, taken in seconds.items():
            start = time.process_time()  # of all threads
            store.commit([report(seed)])
            taken.append(time.process_time() - start)
    assert median(seconds[old]) <= 2 * median(seconds[young])


def test_counts_labels_and_tells_which_keys_have_none(tmp_path):
    store = DeltaLabelStore(tmp_path)
    assert (store.count(), store.unlabelled(set())) == (0, set())
    DeltaLabelStore(tmp_path).commit([report(seed) for seed in range(3)])
    assert store.count() == 3
    assert store.unlabelled({report(1).job.request.key, "other"}) == {"other"}


def test_commits_compact_small_files(tmp_path, monkeypatch):
    monkeypatch.setattr(keyed_table, "COMPACT_EVERY", 4)
    first, second = DeltaLabelStore(tmp_path), DeltaLabelStore(tmp_path)
    for seed in range(20):
        (first, second)[seed % 2].commit([report(seed), report(seed // 2)])
    assert len(DeltaTable(tmp_path / "labels").file_uris()) <= 8
    assert sorted(first.labels().column("seed").to_pylist()) == list(range(20))
    assert len(first.keys()) == len(second.keys()) == 20


def test_two_compactions_at_once_never_double_a_row(tmp_path):
    stores = [DeltaLabelStore(tmp_path) for _ in range(2)]
    for seed in range(6):
        stores[0].commit([report(seed)])
    tables = [store._labels for store in stores]
    handles = [table._open_or_create() for table in tables]  # both at the same version
    for table, handle in zip(tables, handles, strict=True):
        table._compact(handle)
    assert sorted(stores[0].labels().column("seed").to_pylist()) == list(range(6))
    assert len(DeltaTable(tmp_path / "labels").file_uris()) == 1


def test_a_compaction_leaves_large_files_alone(tmp_path, monkeypatch):
    store = DeltaLabelStore(tmp_path)
    store.commit([report(seed) for seed in range(300)])
    (large,) = DeltaTable(tmp_path / "labels").file_uris()
    for seed in range(300, 306):
        store.commit([report(seed)])
    monkeypatch.setattr(compaction, "COMPACTED_BYTES", Path(large).stat().st_size)
    store.compact()
    uris = DeltaTable(tmp_path / "labels").file_uris()
    assert len(uris) == 2
    assert large in uris
    assert sorted(store.labels().column("seed").to_pylist()) == list(range(306))


def test_a_compaction_includes_rows_of_large_files_from_the_same_time(tmp_path, monkeypatch):
    store = DeltaLabelStore(tmp_path)
    store.commit([report(seed, started=100.0 + seed) for seed in range(300)])
    (large,) = DeltaTable(tmp_path / "labels").file_uris()
    for seed in range(300, 304):
        store.commit([report(seed, started=seed - 50.5)])  # half of the large file's rows started later
    monkeypatch.setattr(compaction, "COMPACTED_BYTES", Path(large).stat().st_size)
    store.compact()
    assert sorted(store.labels().column("seed").to_pylist()) == list(range(304))
    assert len(DeltaLabelStore(tmp_path).keys()) == 304


def test_graphs_without_times_are_compacted_by_key(tmp_path, monkeypatch):
    store = DeltaLabelStore(tmp_path)

    def graphs(first, last):
        return [
            report(0, space=f"s{n}", graph=Graph((Node("input"),), (3, 8, n + 1)).to_json()) for n in range(first, last)
        ]

    store.commit(graphs(0, 60))
    (large,) = DeltaTable(tmp_path / "graphs").file_uris()
    for n in range(60, 66):
        store.commit(graphs(n, n + 1))
    monkeypatch.setattr(compaction, "COMPACTED_BYTES", Path(large).stat().st_size)
    store.compact()
    uris = DeltaTable(tmp_path / "graphs").file_uris()
    assert large in uris
    assert len(uris) == 2
    assert sorted(row["space"] for row in store.graphs().to_pylist()) == sorted(f"s{n}" for n in range(66))


def test_an_older_program_refuses_a_newer_store(tmp_path):
    DeltaTable.create(str(tmp_path / "labels"), LABELS, description=table_description("labels", 2))
    for use in (lambda s: s.commit([report()]), lambda s: s.keys(), lambda s: s.labels(), lambda s: s.version()):
        with pytest.raises(StoreSchemaError, match=r"labels: has schema version 2.* up to 1: upgrade") as caught:
            use(DeltaLabelStore(tmp_path))
        assert "\n" not in str(caught.value)
    assert isinstance(caught.value, StoreError)


def test_a_store_upgraded_while_open_is_refused(tmp_path):
    store = DeltaLabelStore(tmp_path)
    store.commit([report()])
    DeltaTable(tmp_path / "labels").alter.set_table_description(table_description("labels", 2))
    with pytest.raises(StoreSchemaError):
        store.commit([report(1)])


def _break(root, damage):
    log = root / "labels" / "_delta_log"
    if damage == "torn log":
        (log / f"{0:020d}.json").write_text('{"metaData": {"id')
    elif damage == "no log":
        shutil.rmtree(log)
    elif damage == "torn data":
        for path in (root / "labels").glob("*.parquet"):
            path.write_bytes(path.read_bytes()[:100])
    elif damage == "no data":
        for path in (root / "labels").glob("*.parquet"):
            path.unlink()
    else:
        shutil.rmtree(root / "labels")
        write_deltalake(root / "labels", pa.table({"a": [1]}))


@pytest.mark.parametrize("damage", ["torn log", "no log", "torn data", "no data", "another table"])
def test_a_corrupt_store_is_a_one_line_error(tmp_path, damage):
    DeltaLabelStore(tmp_path).commit([report()])
    _break(tmp_path, damage)
    for use in (lambda s: s.keys(), lambda s: s.labels(), lambda s: s.commit([report(1)])):
        with pytest.raises(StoreCorruptError, match="restore it from a copy") as caught:
            use(DeltaLabelStore(tmp_path))
        assert str(tmp_path / "labels") in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_location_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="file") as caught:
        DeltaLabelStore(tmp_path / "file").commit([report()])
    assert "\n" not in str(caught.value)


def test_reads_the_frozen_version_1_store(tmp_path):
    shutil.copytree(FIXTURE, tmp_path / "v1")
    store = DeltaLabelStore(tmp_path / "v1")
    expected = json.loads((FIXTURE / "expected.json").read_text())
    labels = json.loads(json.dumps(store.labels().sort_by("seed").to_pylist(), default=str))
    attempts = json.loads(json.dumps(store.attempts().sort_by("attempt_id").to_pylist(), default=str))
    assert labels == expected["labels"]
    assert attempts == expected["attempts"]
    assert store.keys() == {row["key"] for row in expected["labels"]}
    assert store.finally_failed() == {row["key"] for row in expected["attempts"] if row["final"]}
    added, again = store.commit([report(4)]), store.commit([report(4)])
    assert (added.labels, again.labels, again.duplicates) == (1, 0, 1)
