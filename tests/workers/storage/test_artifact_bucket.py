"""Artifacts in an object store: made once, the same for all machines, never torn."""

import json
from pathlib import Path

import pytest

from workers.errors import ArtifactError
from workers.storage.artifact_bucket import ArtifactBucket
from workers.storage.artifacts import ArtifactFolder
from workers.storage.objects import open_objects, write_object


class Machines:
    """Each with copies in a folder of its own, before one bucket."""

    def __init__(self, s3, folder: Path) -> None:
        self.uri, self._options, self._folder = f"s3://labels/{folder.name}/_artifacts", s3, folder
        self.objects = open_objects(self.uri, s3)

    def __getitem__(self, number: int) -> ArtifactFolder:
        return ArtifactFolder(self._folder / str(number), ArtifactBucket(self.uri, self._options))


@pytest.fixture
def machines(s3, tmp_path):
    return Machines(s3, tmp_path)


def fill(text):
    def make(folder: Path) -> None:
        (folder / "part").mkdir(exist_ok=True)
        (folder / "part" / "a.txt").write_text(text)
        (folder / "b.bin").write_bytes(bytes(100_000))

    return make


def refuse(folder):
    raise AssertionError("made a second time")


def said(path):
    assert (path / "b.bin").stat().st_size == 100_000
    return (path / "part" / "a.txt").read_text()


def test_what_one_machine_made_all_others_find(machines):
    assert "thing" not in machines[1]
    with pytest.raises(ArtifactError, match="thing: is missing: make it with `orchestrator prepare`"):
        machines[1].find("thing")
    assert said(machines[0].get("thing", fill("dear"))) == "dear"
    assert "thing" in machines[1]
    assert said(machines[1].find("thing")) == said(machines[2].get("thing", refuse)) == "dear"


def test_of_two_that_made_it_at_once_the_first_to_end_counts(machines):
    def make(folder: Path) -> None:
        machines[1].get("thing", fill("first"))
        fill("second")(folder)

    assert said(machines[0].get("thing", make)) == "first"
    assert said(machines[2].find("thing")) == "first"


def test_what_was_made_and_not_sent_is_sent_by_the_next_run(machines, tmp_path):
    ArtifactFolder(tmp_path / "0").get("thing", fill("dear"))
    assert said(machines[0].get("thing", refuse)) == "dear"
    assert said(machines[1].find("thing")) == "dear"


def test_a_copy_of_what_is_no_longer_there_goes(machines):
    for number in (0, 1):
        machines[number].get("thing", fill("old"))
    machines.objects.delete_dir("thing")
    assert "thing" not in machines[1]
    assert said(machines[2].get("thing", fill("new"))) == "new"
    assert said(machines[1].find("thing")) == "new"


def test_a_copy_without_its_manifest_is_fetched_anew(machines):
    made = machines[0].get("thing", fill("dear"))
    (made / "manifest.json").unlink()
    (made / "part" / "a.txt").write_text("deaf")
    assert said(machines[0].find("thing")) == "dear"


def test_half_of_it_in_the_bucket_is_none(machines):
    write_object(machines.objects, "thing/0123", b"weights")
    assert "thing" not in machines[0]
    assert said(machines[0].get("thing", fill("dear"))) == "dear"


def test_a_damaged_object_is_never_used(machines):
    made = machines[0].get("thing", fill("dear"))
    digest = json.loads((made / "manifest.json").read_text())["part/a.txt"]
    write_object(machines.objects, f"thing/{digest}", b"deaf")
    with pytest.raises(ArtifactError, match=r"/thing: part/a\.txt is not as it was written: delete it there") as caught:
        machines[1].find("thing")
    assert "\n" not in str(caught.value)
    machines.objects.delete_dir("thing")
    assert said(machines[1].get("thing", fill("new"))) == "new"


def test_a_bucket_out_of_reach_is_one_line(s3, tmp_path):
    closed = s3 | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "max_retries": "0"}
    artifacts = ArtifactFolder(tmp_path, ArtifactBucket("s3://labels/x", closed))
    with pytest.raises(ArtifactError, match="artifact s3://labels/x/thing: cannot be read or written") as caught:
        artifacts.find("thing")
    assert "\n" not in str(caught.value)
