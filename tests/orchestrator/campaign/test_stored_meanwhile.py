"""Labels that reach the store without an answer of a worker."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.campaign.stored_meanwhile import StoredMeanwhile
from orchestrator.store.committer_process import CommitterProcess, Drained
from orchestrator.store.delta import DeltaLabelStore
from tests.support.fake_evaluator import request
from tests.support.store_reports import report
from workers.messages.label import LabelRequest

REQUESTS = [request(n) for n in range(4)]
KEYS = [request.key for request in REQUESTS]


class Store:
    """A store with some labels, a controller with some that wait, and what was asked for."""

    def __init__(self, labels: Set[str] = frozenset()) -> None:
        self.labels = labels
        self.waiting, self.repeated = KEYS[1:], KEYS[3:]
        self.asked: list[Set[str]] = []

    def labelled(self, keys: Set[str]) -> Set[str]:
        self.asked.append(keys)
        return keys & self.labels

    def watch(self, requests: list[LabelRequest] = REQUESTS) -> StoredMeanwhile:
        return StoredMeanwhile(requests, self, self.labelled)


def test_all_are_looked_up_when_others_have_committed() -> None:
    store = Store({KEYS[2], "of another list"})
    watch = store.watch()
    assert watch.after(Drained(0, (), 1)) == (KEYS[2],)  # the first time, nobody knows
    assert watch.after(Drained(2, (0.1,), 3)) == ()  # two labels, both of this campaign
    assert watch.after(Drained(0, (), 3)) == ()
    assert watch.after(Drained(1, (0.1,), 9)) == (KEYS[2],)
    assert store.asked == [set(KEYS[1:]), set(KEYS[3:]), set(KEYS[1:])]


def test_a_label_that_its_dead_worker_had_put_is_found() -> None:
    store = Store()
    watch = store.watch()
    watch.after(Drained(0, (), 0))
    store.labels = {KEYS[3]}
    assert watch.after(Drained(1, (0.1,), 1)) == (KEYS[3],)


def test_companions_must_be_there_too() -> None:
    wanted = replace(REQUESTS[1], also=("seg",))
    store = Store({wanted.key})
    store.waiting = [wanted.key]
    assert store.watch([wanted]).after(Drained(0, (), 1)) == ()
    store.labels = set(wanted.keys)
    assert store.watch([wanted]).after(Drained(0, (), 2)) == (wanted.key,)


@pytest.mark.timeout(120)
def test_the_committer_knows(tmp_path: Path) -> None:
    committer = CommitterProcess(str(tmp_path), str(tmp_path / "_spool"))
    try:
        assert committer.labelled({"a"}) == frozenset()
        stored = report(1)
        DeltaLabelStore(tmp_path).commit([stored])  # another process
        assert committer.labelled({"a", stored.job.request.key}) == {stored.job.request.key}
        assert committer.drain().labels == 0
    finally:
        committer.close()
