"""FLOPs are counted once a machine; the order of architectures does not depend on who counted them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from workers.messages.architecture import Architecture
from workers.spaces import get_space
from workers.spaces.kept_flops import KeptFlops

NETWORKS = [Architecture.of("s", {"n": n}) for n in range(6)]


def flops_of(architecture: Architecture) -> float:
    return float(architecture.values["n"]) * 1e9 + 1


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOP_CACHE", str(tmp_path))


def fail(architecture: Architecture) -> float:
    raise AssertionError("counted again")


@pytest.mark.parametrize("parallel", [False, True])
def test_what_is_known_is_not_counted_again(parallel: bool, tmp_path: Path) -> None:
    expected = [flops_of(network) for network in NETWORKS]
    assert KeptFlops("s", (64, 64), None, flops_of).of(NETWORKS[:4], parallel=parallel) == expected[:4]
    assert KeptFlops("s", (64, 64), {}, fail).of(NETWORKS[3::-1], parallel=parallel) == expected[3::-1]
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text()[:-3])  # cut short by a crash
    assert KeptFlops("s", (64, 64), None, flops_of).of(NETWORKS, parallel=parallel) == expected
    path.write_bytes(path.read_bytes() + b'\n\xff\n["x", 1' + b"0" * 400 + b"]\n")
    assert KeptFlops("s", (64, 64), None, fail).of(NETWORKS, parallel=False) == expected
    for other in (("t", (64, 64), {}), ("s", (64, 32), {}), ("s", (64, 64), {"width": 1})):
        with pytest.raises(AssertionError):
            KeptFlops(*other, fail).of(NETWORKS, parallel=False)


def test_the_order_is_the_same_from_kept_flops() -> None:
    space = get_space("nasbench201")
    first, again = (list(itertools.islice(space.stratified(0, (32, 32)), 70)) for _ in range(2))
    assert first == again


def test_a_folder_that_cannot_be_written_only_costs_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AIOP_CACHE", str(tmp_path / "file"))
    assert KeptFlops("s", (64, 64), None, flops_of).of(NETWORKS[:1], parallel=False) == [1.0]
    assert "counts FLOPs again" in caplog.text
