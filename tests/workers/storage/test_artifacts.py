"""Artifacts are made once, by one process, completely or not at all."""

import json
import multiprocessing
import time
from pathlib import Path

import pytest

from workers.errors import ArtifactError
from workers.storage.artifacts import ArtifactFolder
from workers.storage.manifest import parse_manifest


def fill(folder: Path, text: str = "content") -> None:
    (folder / "part").mkdir(exist_ok=True)
    (folder / "part" / "a.txt").write_text(text)


def fail_if_called(folder: Path) -> None:
    raise AssertionError("made a second time")


def test_made_once(tmp_path: Path) -> None:
    artifacts = ArtifactFolder(tmp_path / "new")
    path = artifacts.get("thing", fill)
    assert (path / "part" / "a.txt").read_text() == "content"
    assert artifacts.get("thing", fail_if_called) == path
    assert ArtifactFolder(tmp_path / "new").get("thing", fail_if_called) == path


def test_a_failed_attempt_leaves_only_its_partial_folder_for_the_next(tmp_path: Path) -> None:
    artifacts = ArtifactFolder(tmp_path)

    def fail(folder: Path) -> None:
        (folder / "half").write_text("h")
        raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        artifacts.get("thing", fail)
    assert not (tmp_path / "thing").exists()

    def resume(folder: Path) -> None:
        assert (folder / "half").read_text() == "h"
        (folder / "half").rename(folder / "whole")

    assert [p.name for p in artifacts.get("thing", resume).iterdir() if p.name != "manifest.json"] == ["whole"]


@pytest.mark.parametrize("damage", ["changed", "gone", "more", "manifest", "null", "deep", "numbers", "no manifest"])
def test_a_damaged_artifact_is_never_used(tmp_path: Path, damage: str) -> None:
    artifacts = ArtifactFolder(tmp_path)
    path = artifacts.get("thing", fill)
    match damage:
        case "changed":
            (path / "part" / "a.txt").write_text("conten")
        case "gone":
            (path / "part" / "a.txt").unlink()
        case "more":
            (path / "b.txt").write_text("")
        case "manifest":
            (path / "manifest.json").write_text('{"part/a')
        case "null" | "deep" | "numbers":
            content = {"null": "null", "deep": "[" * 100_000, "numbers": '{"part/a.txt": 3}'}[damage]
            (path / "manifest.json").write_text(content)
        case _:
            (path / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match="remove the folder, then it is made again") as caught:
        artifacts.get("thing", fail_if_called)
    assert "\n" not in str(caught.value)


def _make_slowly(folder: str, made: str) -> None:
    def make(partial: Path) -> None:
        with open(made, "a") as file:
            file.write("x")
        time.sleep(0.3)
        fill(partial)

    ArtifactFolder(Path(folder)).get("thing", make)


def test_processes_that_need_it_at_once_make_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    made = tmp_path / "made"
    processes = [context.Process(target=_make_slowly, args=(str(tmp_path / "a"), str(made))) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert made.read_text() == "x"


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", "."])
def test_a_manifest_names_no_file_outside_its_artifact(name: str) -> None:
    with pytest.raises(ValueError, match="not in the artifact"):
        parse_manifest(json.dumps({name: "00"}).encode())
