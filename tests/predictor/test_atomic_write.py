"""Files and folders are written as a whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from predictor.atomic_write import create_file, publish_folder, replace_file, replace_symlink, replacing, write_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail(*_: object) -> None:
    raise OSError("disk full")


def interrupted_write(path: Path) -> None:
    with replacing(path) as partial:
        partial.write_bytes(b"half")
        raise KeyboardInterrupt


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    replace_file(path, "first: é")
    assert path.read_text(encoding="utf-8") == "first: é"
    replace_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert names(tmp_path) == ["a.json"]


def test_a_caller_can_write_the_temporary_file(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as partial:
        partial.write_text("new")
        assert names(tmp_path) == [partial.name]
    assert (tmp_path / "a").read_text() == "new"


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_the_old_file_stays_when_writing_fails(function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_file(tmp_path / "a", b"old")
    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="disk full"):
        replace_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_the_old_file_stays_when_the_caller_fails(tmp_path: Path) -> None:
    replace_file(tmp_path / "a", b"old")
    with pytest.raises(KeyboardInterrupt):
        interrupted_write(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_folder_is_written_with_its_parents(tmp_path: Path) -> None:
    write_folder(tmp_path / "parent" / "folder", {"a": b"1", "b": b"2"})
    assert (tmp_path / "parent" / "folder" / "a").read_bytes() == b"1"
    assert names(tmp_path / "parent") == ["folder"]
    with pytest.raises(FileExistsError):
        write_folder(tmp_path / "parent" / "folder", {"a": b"3"})
    assert (tmp_path / "parent" / "folder" / "a").read_bytes() == b"1"


def test_nothing_is_left_of_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_folder(tmp_path / "folder", {"a": b"1"})
    assert names(tmp_path) == []


def test_a_folder_that_another_process_made_first_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename: Callable[[Path, Path], Path] = Path.rename

    def other_is_faster(self: Path, target: Path) -> Path:
        target.mkdir()
        (target / "a").write_bytes(b"other")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", other_is_faster)
    with pytest.raises(FileExistsError):
        write_folder(tmp_path / "folder", {"a": b"own"})
    assert (tmp_path / "folder" / "a").read_bytes() == b"other"
    assert names(tmp_path) == ["folder"]


def test_a_folder_made_by_the_caller_is_published_whole(tmp_path: Path) -> None:
    (tmp_path / "partial" / "inner").mkdir(parents=True)
    (tmp_path / "partial" / "inner" / "a").write_bytes(b"1")
    publish_folder(tmp_path / "partial", tmp_path / "folder")
    assert names(tmp_path) == ["folder"]
    assert (tmp_path / "folder" / "inner" / "a").read_bytes() == b"1"


def test_a_link_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for target in ("000001", "000002"):
        replace_symlink(tmp_path / "latest", target)
        assert os.readlink(tmp_path / "latest") == target
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        replace_symlink(tmp_path / "latest", "000003")
    assert os.readlink(tmp_path / "latest") == "000002"
    assert names(tmp_path) == ["latest"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_exists_is_not_created(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:
        monkeypatch.setattr(os, "link", _no_links)
    path = tmp_path / "a.json"
    create_file(path, "first: é")
    with pytest.raises(FileExistsError):
        create_file(path, "second")
    assert path.read_text(encoding="utf-8") == "first: é"
    assert names(tmp_path) == ["a.json"]


def test_a_file_that_cannot_be_created_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(OSError, match="disk full"):
        create_file(tmp_path / "a.json", "text")
    assert names(tmp_path) == []


def _no_links(*_: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")
