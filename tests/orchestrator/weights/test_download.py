"""Downloads: resumption, retries, proxies, mirrors and errors, against a server in this process."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.errors import WeightsError
from orchestrator.weights import download as module
from orchestrator.weights.download import download, mirrored
from tests.support.weights_server import WeightsServer, serving

CONTENT = random.Random(0).randbytes(1_000_000)


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BACKOFF_S", 0.0)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[WeightsServer]:
    with serving({"/w.pth": CONTENT}) as running:
        yield running


def fetch(url: str, folder: Path) -> Path:
    target = folder / "w.pth"
    download(url, target, "copy it here")
    return target


def test_the_bytes_arrive_and_are_counted(server: WeightsServer, tmp_path: Path) -> None:
    counts: list[tuple[int, int]] = []
    download(f"{server.url}/w.pth", tmp_path / "w.pth", "", lambda done, total: counts.append((done, total)))
    assert (tmp_path / "w.pth").read_bytes() == CONTENT
    assert counts == sorted(counts)
    assert counts[-1] == (len(CONTENT), len(CONTENT))


def test_a_broken_transfer_goes_on_where_it_stopped(server: WeightsServer, tmp_path: Path) -> None:
    server.breaks = 3
    assert fetch(f"{server.url}/w.pth", tmp_path).read_bytes() == CONTENT
    starts = [int(wanted.removeprefix("bytes=").rstrip("-") or 0) for _, wanted in server.requests]
    assert starts[0] == 0
    assert starts[1] > 400_000
    assert starts == sorted(set(starts))
    assert len(starts) == 4


def test_a_later_command_goes_on_where_an_earlier_one_gave_up(server: WeightsServer, tmp_path: Path) -> None:
    server.breaks = 100
    with pytest.raises(WeightsError, match=r"the connection broke after \d+ bytes .*: run it again to continue"):
        fetch(f"{server.url}/w.pth", tmp_path)
    done = (tmp_path / "w.pth.part").stat().st_size
    assert not (tmp_path / "w.pth").exists()
    assert 0 < done < len(CONTENT)
    server.breaks = 0
    assert fetch(f"{server.url}/w.pth", tmp_path).read_bytes() == CONTENT
    assert server.requests[-1] == ("/w.pth", f"bytes={done}-")
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == ["w.pth"]


def test_the_rest_of_another_file_is_not_appended(server: WeightsServer, tmp_path: Path) -> None:
    server.breaks = 100
    with pytest.raises(WeightsError):
        fetch(f"{server.url}/w.pth", tmp_path)
    server.breaks, server.files["/w.pth"] = 0, CONTENT[::-1]
    assert fetch(f"{server.url}/w.pth", tmp_path).read_bytes() == CONTENT[::-1]


def test_a_partial_file_that_is_complete_is_downloaded_again(server: WeightsServer, tmp_path: Path) -> None:
    server.breaks = 100
    with pytest.raises(WeightsError):
        fetch(f"{server.url}/w.pth", tmp_path)
    (tmp_path / "w.pth.part").write_bytes(CONTENT)
    server.breaks = 0
    assert fetch(f"{server.url}/w.pth", tmp_path).read_bytes() == CONTENT


def test_an_overloaded_server_is_asked_again(server: WeightsServer, tmp_path: Path) -> None:
    server.busy = 2
    assert fetch(f"{server.url}/w.pth", tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("path", "busy", "message"),
    [
        ("none.pth", 0, "/none.pth: the server answered 404 Not Found: copy it here"),
        ("w.pth", 100, "/w.pth: the server answered 503 Service Unavailable: copy it here"),
    ],
)
def test_refusals_are_one_line_errors(
    server: WeightsServer, tmp_path: Path, path: str, busy: int, message: str
) -> None:
    server.busy = busy
    with pytest.raises(WeightsError, match=message) as caught:
        fetch(f"{server.url}/{path}", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there_is_a_one_line_error(server: WeightsServer, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot be reached \(ConnectionError\): copy it here"):
        fetch("http://127.0.0.1:1/w.pth", tmp_path)


def test_the_proxy_is_used_except_for_hosts_without_one(
    server: WeightsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("http_proxy", server.url)
    fetch("http://publisher.invalid/w.pth", tmp_path)
    assert server.requests == [("http://publisher.invalid/w.pth", "")]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    fetch(f"{server.url}/w.pth", tmp_path)
    assert server.requests[1:] == [("/w.pth", "")]


def test_a_mirror_replaces_the_host() -> None:
    url = "https://publisher.example/a/w.pth?raw=1"
    assert mirrored(url, "") == url
    assert mirrored(url, "http://mirror.example") == "http://mirror.example/a/w.pth?raw=1"
    assert mirrored(url, "http://mirror.example/pub/") == "http://mirror.example/pub/a/w.pth?raw=1"
    with pytest.raises(WeightsError, match=r"must be a URL such as https://mirror\.example/weights"):
        mirrored(url, "mirror.example")
