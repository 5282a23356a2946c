"""Spools in folders: one complete file per attempt, oldest first, unreadable files set aside."""

import os
from dataclasses import replace

import pytest

from tests.support.store_reports import report
from workers.messages.label import Outcome
from workers.storage.folder_spool import FolderSpool


def test_one_complete_file_per_attempt(tmp_path):
    spool = FolderSpool(tmp_path / "spool")
    path = spool.put(report())
    spool.put(report())
    assert path.name == f"{report().job.attempt_id}.json"
    assert [entry.name for entry in spool.directory.iterdir()] == [path.name]


def test_a_failure_does_not_replace_the_success_of_its_attempt(tmp_path):
    spool, success = FolderSpool(tmp_path), report()
    death = replace(success, outcome=Outcome.CRASH, message="died", measurement=None)
    spool.put(success)
    spool.put(death)
    assert spool.read() == [success]
    spool.remove([success])
    spool.put(death)
    spool.put(given_up := replace(death, message="died too often"))
    assert spool.read() == [given_up]
    spool.put(success)
    assert spool.read() == [success]
    assert len(list(tmp_path.iterdir())) == 1


def test_reads_the_oldest_first_up_to_the_limit(tmp_path):
    spool = FolderSpool(tmp_path)
    for seed, age in ((1, 10), (2, 30), (3, 20)):
        os.utime(spool.put(report(seed)), (1000 - age, 1000 - age))
    assert spool.read() == [report(2), report(3), report(1)]
    assert spool.read(2) == [report(2), report(3)]
    spool.remove([report(2), report(2), report(9)])
    assert spool.read() == [report(3), report(1)]


def test_a_campaign_named_like_a_path_stays_in_the_folder(tmp_path):
    spool = FolderSpool(tmp_path / "spool")
    spool.put(report(campaign="../../out"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["spool"]
    assert spool.read() == [report(campaign="../../out")]


DAMAGES = {
    "torn": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "binary": lambda whole: b"\xff\xfe\x00",
    "list": lambda whole: b"[1]",
    "fields": lambda whole: b'{"request": {}}',
    "nested": lambda whole: whole.replace(b'"steps": 360', b'"steps": -1'),
    "fidelity": lambda whole: whole.replace(b'"fidelity": "full"', b'"fidelity": "rumour"'),
    "renamed": lambda whole: whole.replace(b'"attempt": 1', b'"attempt": 2'),
    # What could be read, but not committed: the committer would end, and so would every later one.
    "steps": lambda whole: whole.replace(b'"steps": 360', b'"steps": 1' + b"0" * 400),
    "time": lambda whole: whole.replace(b'"started": 1700000002.5', b'"started": 1e308'),
    "no time": lambda whole: whole.replace(b'"started": 1700000002.5', b'"started": NaN'),
    "duration": lambda whole: whole.replace(b'"seconds": 4.25', b'"seconds": 1e300'),
    "surrogate": lambda whole: whole.replace(b'"node": "node-1"', b'"node": "\\ud800"'),
    "graph": lambda whole: whole.replace(b'"graph": ""', b'"graph": "{}"'),
    "companion": lambda whole: whole.replace(b'"also": []', b'"also": ["det"]'),
    "deep": lambda whole: b"[" * 100_000,
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_an_unreadable_file_is_set_aside_with_a_warning(tmp_path, caplog, damage):
    spool = FolderSpool(tmp_path)
    spool.put(report(1))
    path = spool.put(report(2))
    whole = path.read_bytes()
    content = DAMAGES[damage](whole)
    assert content != whole
    path.write_bytes(content)
    os.utime(path, (0, 0))
    assert spool.read(1) == [report(1)]
    assert (tmp_path / "bad" / path.name).read_bytes() == content
    assert path.name in caplog.text
    path.write_bytes(content)  # unreadable under the same name again: the first file is kept
    assert spool.read() == [report(1)]
    assert len(list((tmp_path / "bad").iterdir())) == 2


def test_a_half_written_file_is_not_seen(tmp_path, monkeypatch):
    spool = FolderSpool(tmp_path)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        spool.put(report())
    assert spool.read() == []
    assert spool.pending() == []
