"""A spool in an object store has the contract of a spool in a folder."""

from dataclasses import replace

import pytest

from orchestrator.store.committer import Committer
from orchestrator.store.memory import MemoryLabelStore
from tests.support.store_reports import report
from workers.errors import NodeError
from workers.execution import node_check
from workers.execution.node_check import NodeNeeds, check_node
from workers.messages.label import Outcome
from workers.storage import object_spool
from workers.storage.object_spool import ObjectSpool
from workers.storage.objects import write_object


@pytest.fixture
def spool(s3, tmp_path):
    return ObjectSpool(f"s3://labels/{tmp_path.name}/_spool", s3)


def test_reports_wait_until_they_are_removed(spool):
    assert spool.read() == []
    for number in (1, 2, 2, 3):
        spool.put(report(number))
    assert len(spool.pending()) == 3
    assert len(spool.read(2)) == 2
    spool.remove([report(2), report(2), report(9)])
    assert {waiting.job.attempt_id for waiting in spool.read()} == {report(1).job.attempt_id, report(3).job.attempt_id}


def test_a_failure_does_not_replace_the_success_of_its_attempt(spool):
    success = report(1)
    death = replace(success, outcome=Outcome.CRASH, message="died", measurement=None)
    spool.put(death)
    spool.put(success)
    spool.put(death)
    assert spool.read() == [success]


def test_a_committer_empties_the_spool(spool):
    for number in range(5):
        spool.put(report(number))
    store = MemoryLabelStore()
    committer = Committer(store, spool, batch=3)
    assert [committer.run_once().labels, committer.run_once().rows, committer.run_once()] == [3, 5, None]
    assert spool.pending() == []


def test_an_unreadable_object_is_set_aside_with_a_warning(spool, caplog):
    spool.put(report(1))
    write_object(spool._files, "torn.json", b'{"request"')
    assert spool.read() == [report(1)]
    assert spool.pending() == [f"{report(1).job.attempt_id}.json"]
    assert "torn.json: not readable" in caplog.text
    with spool._files.open_input_file("bad/torn.json") as file:
        assert file.read() == b'{"request"'


def test_a_probe_leaves_nothing_for_the_committer(spool):
    spool.probe()
    assert spool.pending() == []


def test_a_machine_that_cannot_write_to_the_spool_is_rejected(monkeypatch):
    def refused(uri):
        raise OSError("Generic S3 error: 403")

    monkeypatch.setattr(object_spool, "ObjectSpool", refused)
    monkeypatch.setattr(node_check.platform, "node", lambda: "n7")
    with pytest.raises(NodeError, match=r"^node n7: s3://b/l/_spool cannot be written \(Generic S3 error: 403\): give"):
        check_node(NodeNeeds(objects=("s3://b/l/_spool",)))
