"""The cache of decoded examples: shared by processes, limited, and gone when the code or the machine changes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
from pathlib import Path

import pytest
import torch

from workers.loading.node_cache import NodeCache
from workers.node_folder import _temporary_folder
from workers.targets.example import from_bytes, pack, to_bytes


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOP_CACHE", str(tmp_path))


def _write(cache: NodeCache, index: int) -> None:
    cache.put(index, bytes([index]) * 100)


def test_processes_share_what_they_wrote() -> None:
    cache = NodeCache("a", 8, 1)
    _write(cache, 0)
    processes = [multiprocessing.get_context("fork").Process(target=_write, args=(cache, i)) for i in range(1, 5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    for reader in (cache, NodeCache("a", 8, 1), pickle.loads(pickle.dumps(cache))):  # noqa: S301 - our own bytes
        assert [reader.get(i) for i in range(5)] == [bytes([i]) * 100 for i in range(5)]
        assert reader.get(5) is None


def test_other_content_has_another_cache() -> None:
    _write(NodeCache("a", 8, 1), 0)
    assert NodeCache("b", 8, 1).get(0) is None
    assert NodeCache("a", 9, 1).get(0) is None


def test_a_full_cache_takes_nothing_more() -> None:
    cache = NodeCache("a", 4, 1)
    for index in range(4):
        cache.put(index, bytes(400_000))
    assert [cache.get(i) is not None for i in range(4)] == [True, True, False, False]
    assert len(NodeCache("a", 4, 1).get(1) or b"") == 400_000


def test_a_folder_that_cannot_be_written_only_costs_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("AIOP_CACHE", str(blocked))
    cache = NodeCache("a", 4, 1)
    _write(cache, 0)
    assert cache.get(0) is None
    assert "images are decoded again each time" in caplog.text


def test_a_cache_that_nobody_used_for_a_week_is_removed(tmp_path: Path) -> None:
    _write(NodeCache("old", 4, 1), 0)
    _write(NodeCache("new", 4, 1), 0)
    others = [tmp_path / "photos", tmp_path / "images-of-mine"]
    for other in others:
        other.mkdir()
    for folder in tmp_path.iterdir():
        os.utime(folder, (time.time() - 8 * 86400,) * 2)
    cache = NodeCache("new", 4, 1)
    _write(cache, 1)
    assert len(set(tmp_path.iterdir()) - set(others)) == 1
    assert cache.get(0) is not None
    assert all(other.is_dir() for other in others)  # AIOP_CACHE may name a folder with other things


def test_examples_survive_packing() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (17, 23, 3), dtype=torch.uint8, generator=generator).permute(2, 0, 1)
    example = {
        "image": image,
        "masks": torch.rand((2, 17, 23), generator=generator) > 0.5,
        "boxes": torch.rand((2, 4), generator=generator),
        "none": torch.zeros((0, 17, 23), dtype=torch.bool),
        "labels": torch.tensor([3, 4]),
        "crowd": torch.tensor([True, False]),
        "truth_area": torch.tensor(2.5, dtype=torch.float64),
    }
    for copy in (
        from_bytes(bytearray(to_bytes(example))),
        pack([example]).unpack()[0],
        pack([{}, example]).unpack()[1],
    ):
        assert list(copy) == list(example)
        assert all(
            torch.equal(value, copy[name]) and value.dtype == copy[name].dtype for name, value in example.items()
        )
    assert pack([example]).unpack()[0]["image"].permute(1, 2, 0).is_contiguous()  # the colours of a pixel stay together


def test_a_folder_that_other_users_can_write_is_not_trusted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ours = _temporary_folder(tmp_path, os.getuid())
    assert ours == tmp_path / f"aiop-cache-{os.getuid()}"
    assert ours.stat().st_mode & 0o777 == 0o700
    shared = tmp_path / "shared"
    (shared / ours.name).mkdir(parents=True)
    (shared / ours.name).chmod(0o777)
    private = _temporary_folder(shared, os.getuid())
    assert private.name != ours.name
    assert private.stat().st_mode & 0o777 == 0o700
    assert "set AIOP_CACHE" in caplog.text
