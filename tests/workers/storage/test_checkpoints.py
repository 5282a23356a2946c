"""Checkpoints in folders and object stores follow one contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from workers.storage.checkpoints import Checkpoint, Checkpoints, ObjectCheckpoints, open_checkpoints, remove_settled

TENSORS = {"a": torch.arange(6.0).reshape(2, 3).T, "step": torch.tensor(3)}


@pytest.fixture(params=["folder", "bucket"])
def checkpoints(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Checkpoints]:
    if request.param == "folder":
        yield open_checkpoints(str(tmp_path / "new"))
    else:
        yield ObjectCheckpoints("s3://labels/_checkpoints", request.getfixturevalue("s3"))


def test_the_last_checkpoint_of_a_name_counts(checkpoints: Checkpoints) -> None:
    assert checkpoints.load("a/b") is None
    assert checkpoints.names() == []
    assert checkpoints.save("a/b", Checkpoint({"step": torch.tensor(1)}))
    assert checkpoints.save("a/b", Checkpoint(TENSORS, {"runs": [{"seg": {"miou": 0.25}}], "step": 3}))
    assert checkpoints.save("other", Checkpoint({}))
    loaded = checkpoints.load("a/b")
    assert loaded is not None
    assert loaded.facts == {"runs": [{"seg": {"miou": 0.25}}], "step": 3}
    assert loaded.tensors.keys() == TENSORS.keys()
    assert all(torch.equal(value, loaded.tensors[name]) for name, value in TENSORS.items())
    assert checkpoints.names() == ["a/b", "other"]
    remove_settled(checkpoints, {"a/b", "c"})
    assert checkpoints.names() == ["other"]
    checkpoints.remove("a/b")
    assert checkpoints.load("a/b") is None
    assert checkpoints.load("other") == Checkpoint({})


def test_a_damaged_checkpoint_is_none_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = open_checkpoints(str(tmp_path))
    checkpoints.save("a", Checkpoint(TENSORS))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", whole[8:]):
        path.write_bytes(content)
        assert checkpoints.load("a") is None
    assert caplog.text.count("starting from the first step") == 3


def test_a_folder_that_cannot_be_written_fails_no_label(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    assert not open_checkpoints(str(tmp_path / "file")).save("a", Checkpoint(TENSORS))
    assert "not written" in caplog.text
