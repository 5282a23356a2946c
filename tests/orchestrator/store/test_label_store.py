"""The contract of `LabelStore`, over every implementation."""

from datetime import UTC, datetime

import pytest

from orchestrator.errors import StoreError
from orchestrator.store import Committer, DeltaLabelStore, MemoryLabelStore
from orchestrator.store.schema import ATTEMPTS, GRAPHS, LABELS
from predictor.graph import Graph, Node
from tests.support.store_reports import report
from workers.messages.label import Outcome
from workers.storage.folder_spool import FolderSpool

GRAPH = Graph((Node("input", (), 3, 3, 64, 64), Node("output", (0,), 3, 3, 64, 64)), (3, 8, 8))


@pytest.fixture(params=["memory", "delta", "s3"])
def store_arguments(request, tmp_path):
    """The arguments that open one store; None for the one in memory."""
    if request.param == "memory":
        return None
    if request.param == "delta":
        return (tmp_path / "a store",)
    return (f"s3://labels/{tmp_path.name}", request.getfixturevalue("s3"))


@pytest.fixture
def store(store_arguments):
    return MemoryLabelStore() if store_arguments is None else DeltaLabelStore(*store_arguments)


class TestLabelStore:
    def test_is_empty_before_the_first_commit(self, store):
        assert store.version() == -1
        assert store.keys() == set() == store.finally_failed() == store.keys(task="depth")
        assert store.labels().schema == LABELS
        assert store.attempts().schema == ATTEMPTS
        assert store.labels().num_rows == store.attempts().num_rows == 0
        store.compact()

    def test_keeps_every_field(self, store):
        made = report(3, attempt=2)
        done = store.commit([made])
        assert (done.labels, done.attempts, done.duplicates) == (1, 1, 0)
        assert done.version == store.version()
        assert done.seconds > 0
        labels, attempts, request = store.labels(), store.attempts(), made.job.request
        assert labels.schema == LABELS
        assert attempts.schema == ATTEMPTS
        [row] = labels.to_pylist()
        assert row == {
            "key": request.key,
            "architecture": request.architecture.id,
            "space": "cells",
            "genotype": request.architecture.genotype,
            "task": "segmentation",
            "data": "folder:/data",
            "fingerprint": "f00d",
            "fidelity": "full",
            "recipe_name": "segmentation.laptop",
            "recipe_version": 1,
            "recipe_hash": request.recipe.hash,
            "recipe": request.recipe.model_dump_json(),
            "seed": 3,
            "value": 0.5,
            "metric": "miou",
            "metrics": [("acc", 0.75), ("miou", 0.5)],
            "flops": 1e9,
            "params": 2e6,
            "seconds": [("data", 0.25), ("train", 3.5)],
            "campaign": "c1",
            "attempt": 2,
            "split": 1,
            "node": "node-1",
            "started": datetime(2023, 11, 14, 22, 13, 23, 500000, UTC),
            "finished": datetime(2023, 11, 14, 22, 13, 27, 750000, UTC),
        }
        [attempt] = attempts.to_pylist()
        assert attempt["attempt_id"] == made.job.attempt_id
        assert (attempt["outcome"], attempt["final"], attempt["seconds"]) == ("ok", False, 4.25)

    def test_keeps_one_graph_for_all_labels_of_a_network(self, store):
        assert store.graphs().schema == GRAPHS
        text = GRAPH.to_json()
        store.commit([report(1, graph=text), report(2, graph=text), report(3), report(4, graph=text, task="pose")])
        store.commit([report(5, graph=text)])
        rows = store.graphs().to_pylist()
        assert store.graphs().schema == GRAPHS
        assert sorted(row["task"] for row in rows) == ["pose", "segmentation"]
        [row] = store.graphs(task="segmentation", space="cells").to_pylist()
        request = report(1).job.request
        assert (row["architecture"], row["recipe_hash"]) == (request.architecture.id, request.recipe.hash)
        assert (row["nodes"], row["input_size"], row["tracer_version"]) == (2, [3, 8, 8], GRAPH.version)
        assert Graph.from_json(row["graph"]) == GRAPH
        assert store.labels().num_rows == 5

    def test_appends_rows_of_another_store_unchanged(self, store):
        other = MemoryLabelStore()
        other.commit(
            [report(1, graph=GRAPH.to_json()), report(2, outcome=Outcome.OUT_OF_MEMORY), report(3, value=0.25)]
        )
        store.commit([report(3, value=0.75, attempt=2)])
        done = store.append_rows(other.labels(), other.graphs(), other.attempts())
        assert (done.labels, done.attempts, done.duplicates, done.rows) == (1, 3, 1, 2)
        assert store.version() == done.version
        assert store.graphs() == other.graphs()
        key = report(1).job.request.key
        [row] = [row for row in store.labels().to_pylist() if row["key"] == key]
        assert row in other.labels().to_pylist()
        assert sorted(store.labels()["value"].to_pylist()) == [0.5, 0.75]

    def test_a_key_has_one_label_the_first(self, store):
        store.commit([report(1, value=0.25)])
        done = store.commit([report(1, attempt=2), report(2), report(2, attempt=2), report(1, value=0.25)])
        assert (done.labels, done.attempts, done.duplicates) == (1, 3, 3)
        assert sorted(store.labels().column("value").to_pylist()) == [0.25, 0.5]
        assert store.attempts().num_rows == 4
        again = store.commit([report(1), report(2)])
        assert (again.labels, again.attempts, again.duplicates) == (0, 0, 2)
        assert again.version == done.version == store.version()

    def test_nothing_to_commit(self, store):
        done = store.commit([])
        assert (done.labels, done.attempts, done.duplicates) == (0, 0, 0)

    def test_failures_are_attempts_only(self, store):
        oom, final = report(1, outcome=Outcome.OUT_OF_MEMORY), report(2, outcome=Outcome.DIVERGED, final=True)
        done = store.commit([oom, final])
        assert (done.labels, done.attempts, done.duplicates) == (0, 2, 0)
        assert store.finally_failed() == {final.job.request.key}
        store.commit([report(2, attempt=2, campaign="c2")])
        assert store.finally_failed() == set()
        assert store.keys() == {final.job.request.key}

    def test_filters(self, store):
        reports = [report(1), report(2, task="depth"), report(3, space="mbconv"), report(4, campaign="it's")]
        store.commit(reports)
        keys = [made.job.request.key for made in reports]
        assert store.keys(task="depth") == {keys[1]}
        assert store.keys(space="mbconv") == {keys[2]}
        assert store.keys(campaign="it's") == {keys[3]}
        assert store.keys(data="folder:/data", fidelity="full") == set(keys)
        assert store.keys(fidelity="proxy") == set()
        assert store.labels(task="segmentation", space="cells", campaign="c1").column("key").to_pylist() == [keys[0]]
        assert store.attempts(task="depth").column("key").to_pylist() == [keys[1]]
        assert store.attempts(space="cells", campaign="it's").column("key").to_pylist() == [keys[3]]

    def test_reads_only_some_columns(self, store):
        store.commit([report(1)])
        first = store.version()
        store.commit([report(2, task="depth"), report(3)])
        assert store.labels(task="depth", columns=["seed", "task"]).to_pylist() == [{"seed": 2, "task": "depth"}]
        rows = store.labels_since(first, columns=["seed"])
        assert rows.column_names == ["seed"]
        assert sorted(rows["seed"].to_pylist()) == [2, 3]
        assert store.attempts(task="depth", columns=["outcome"]).to_pylist() == [{"outcome": "ok"}]

    def test_an_unknown_filter_is_an_error(self, store):
        with pytest.raises(TypeError, match="no filter is called tasks: use task, space, data, fidelity, campaign"):
            store.labels(tasks="depth")

    def test_labels_of_an_earlier_version(self, store):
        versions = [store.version()]
        for seed in range(3):
            store.commit([report(seed)])
            versions.append(store.version())
        assert [len(store.labels(version=version)) for version in versions] == [0, 1, 2, 3]
        assert store.labels(version=versions[1]).column("seed").to_pylist() == [0]
        with pytest.raises(StoreError, match="has no version 99"):
            store.labels(version=99)

    def test_labels_since_a_version(self, store):
        versions = [store.version()]
        assert store.labels_since(-1).schema == LABELS
        for seed in range(3):
            store.commit([report(seed), report(0, attempt=2)])
            versions.append(store.version())
        for first in range(4):
            for last in range(first, 4):
                rows = store.labels_since(versions[first], versions[last])
                assert sorted(rows.column("seed").to_pylist()) == list(range(first, last))
        assert store.labels_since(versions[1]).schema == LABELS
        assert store.labels_since(versions[1]).num_rows == 2
        for version in (99, None):
            with pytest.raises(StoreError, match="has no version 99"):
                store.labels_since(99 if version is None else 0, version)

    def test_a_compaction_adds_no_labels(self, store):
        store.commit([report(0)])
        first = store.version()
        store.commit([report(1)])
        store.commit([report(2)])
        store.compact()
        compacted = store.version()
        assert sorted(store.labels_since(first).column("seed").to_pylist()) == [1, 2]
        assert store.labels_since(compacted).num_rows == 0
        store.commit([report(3)])
        assert store.labels_since(compacted).column("seed").to_pylist() == [3]
        assert sorted(store.labels_since(first).column("seed").to_pylist()) == [1, 2, 3]

    def test_graphs_of_some_architectures(self, store):
        store.commit([report(1, graph=GRAPH.to_json()), report(1, space="mbconv", graph=GRAPH.to_json())])
        wanted = report(1).job.request.architecture.id
        assert store.graphs(architectures={wanted}).column("space").to_pylist() == ["cells"]
        assert store.graphs(space="mbconv", architectures={wanted}).num_rows == 0
        assert store.graphs(architectures=[]).schema == GRAPHS
        assert store.graphs(architectures=[]).num_rows == 0

    def test_compaction_changes_no_row(self, store):
        for seed in range(5):
            store.commit([report(seed)])
        before = store.labels().sort_by("seed").to_pylist()
        store.compact()
        assert store.labels().sort_by("seed").to_pylist() == before
        done = store.commit([report(0, attempt=2), report(9)])
        assert (done.labels, done.attempts, done.duplicates) == (1, 2, 1)
        assert store.labels().num_rows == len(store.keys()) == 6

    def test_committer_drains_the_spool(self, store, tmp_path):
        spool = FolderSpool(tmp_path / "spool")
        for seed in range(5):
            spool.put(report(seed))
        committer = Committer(store, spool, batch=3)
        assert committer.run_once().labels == 3
        assert committer.run_once().labels == 2
        assert committer.run_once() is None
        assert spool.pending() == []

    @pytest.mark.parametrize("where", ["before labels", "before attempts", "before removal", "during removal"])
    def test_a_killed_committer_neither_loses_nor_doubles_labels(self, store, tmp_path, monkeypatch, where):
        spool = FolderSpool(tmp_path / "spool")
        reports = [report(1), report(2), report(3, outcome=Outcome.ERROR, final=True)]
        for made in reports:
            spool.put(made)

        def die(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            if where == "before labels":
                patch.setattr(store, "commit", die)
            elif where == "before attempts" and isinstance(store, DeltaLabelStore):
                patch.setattr(store._attempts, "append", die)
            elif where == "before attempts":
                pytest.skip("a store in memory ends with the process")
            elif where == "before removal":
                patch.setattr(spool, "remove", die)
            else:
                patch.setattr(spool, "remove", lambda done: (FolderSpool.remove(spool, done[:1]), die()))
            with pytest.raises(KeyboardInterrupt):
                Committer(store, spool).run_once()
        assert spool.pending()
        Committer(store, spool).run_once()
        assert spool.pending() == []
        assert sorted(store.labels().column("seed").to_pylist()) == [1, 2]
        assert sorted(store.attempts().column("attempt_id").to_pylist()) == sorted(r.job.attempt_id for r in reports)
        assert store.finally_failed() == {reports[2].job.request.key}


def test_two_committers_on_an_object_store_never_double_a_key(s3):
    first, other = DeltaLabelStore("s3://labels/shared", s3), DeltaLabelStore("s3://labels/shared", s3)
    for seed in range(6):
        (first, other)[seed % 2].commit([report(seed), report(seed // 2)])
    assert sorted(first.labels().column("seed").to_pylist()) == list(range(6))
    assert len(first.keys()) == len(other.keys()) == 6


def test_an_unreachable_object_store_is_a_one_line_error(s3):
    closed = {**s3, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "max_retries": "0", "retry_timeout": "1s"}
    with pytest.raises(StoreError, match="s3://labels/x") as caught:
        DeltaLabelStore("s3://labels/x", closed).keys()
    assert "\n" not in str(caught.value)
