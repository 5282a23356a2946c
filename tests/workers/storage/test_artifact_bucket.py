"""Artifacts in an object store: made once, equal on all machines, always complete."""

import json
from pathlib import Path

import pytest

from workers.errors import ArtifactError
from workers.storage.artifact_bucket import ArtifactBucket
from workers.storage.artifacts import ArtifactFolder
from workers.storage.objects import open_objects, write_object


class Machines:
    """Machines that share one bucket; each has its copies in its own folder."""

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


def fail_if_called(folder):
    raise AssertionError("made a second time")


def content_of(path):
    assert (path / "b.bin").stat().st_size == 100_000
    return (path / "part" / "a.txt").read_text()


def test_all_machines_find_what_one_made(machines):
    assert "thing" not in machines[1]
    with pytest.raises(ArtifactError, match="thing: is missing: make it with `orchestrator prepare`"):
        machines[1].find("thing")
    assert content_of(machines[0].get("thing", fill("content"))) == "content"
    assert "thing" in machines[1]
    assert content_of(machines[1].find("thing")) == content_of(machines[2].get("thing", fail_if_called)) == "content"


def test_the_first_of_two_uploads_counts(machines):
    def make(folder: Path) -> None:
        machines[1].get("thing", fill("first"))
        fill("second")(folder)

    assert content_of(machines[0].get("thing", make)) == "first"
    assert content_of(machines[2].find("thing")) == "first"


def test_the_next_run_uploads_what_was_made_but_not_uploaded(machines, tmp_path):
    ArtifactFolder(tmp_path / "0").get("thing", fill("content"))
    assert content_of(machines[0].get("thing", fail_if_called)) == "content"
    assert content_of(machines[1].find("thing")) == "content"


def test_a_copy_of_a_deleted_artifact_is_replaced(machines):
    for number in (0, 1):
        machines[number].get("thing", fill("old"))
    machines.objects.delete_dir("thing")
    assert "thing" not in machines[1]
    assert content_of(machines[2].get("thing", fill("new"))) == "new"
    assert content_of(machines[1].find("thing")) == "new"


def test_a_copy_without_a_manifest_is_downloaded_again(machines):
    made = machines[0].get("thing", fill("content"))
    (made / "manifest.json").unlink()
    (made / "part" / "a.txt").write_text("damage")
    assert content_of(machines[0].find("thing")) == "content"


def test_a_partial_upload_does_not_count(machines):
    write_object(machines.objects, "thing/0123", b"weights")
    assert "thing" not in machines[0]
    assert content_of(machines[0].get("thing", fill("content"))) == "content"


def test_a_damaged_object_is_never_used(machines):
    made = machines[0].get("thing", fill("content"))
    digest = json.loads((made / "manifest.json").read_text())["part/a.txt"]
    write_object(machines.objects, f"thing/{digest}", b"damage")
    with pytest.raises(ArtifactError, match=r"/thing: checksum mismatch of part/a\.txt: delete the artifact") as caught:
        machines[1].find("thing")
    assert "\n" not in str(caught.value)
    machines.objects.delete_dir("thing")
    assert content_of(machines[1].get("thing", fill("new"))) == "new"


def test_an_unreachable_bucket_is_a_one_line_error(s3, tmp_path):
    closed = s3 | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "max_retries": "0"}
    artifacts = ArtifactFolder(tmp_path, ArtifactBucket("s3://labels/x", closed))
    with pytest.raises(ArtifactError, match="artifact s3://labels/x/thing: cannot be read or written") as caught:
        artifacts.find("thing")
    assert "\n" not in str(caught.value)
