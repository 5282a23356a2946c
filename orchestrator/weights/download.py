"""Download a file over HTTP: resumed after an interruption, with retries, proxies and a mirror.

requests reads HTTP_PROXY, HTTPS_PROXY and NO_PROXY; urllib3 retries what a server answers while it is overloaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import requests
from filelock import FileLock
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from orchestrator.errors import WeightsError

ShowBytes = Callable[[int, int], None]  # of bytes done and in total; the total is 0 if unknown

_CHUNK_BYTES = 1 << 16
_TIMEOUT_S = (15.0, 60.0)  # to connect, and between two chunks
_RETRIED = frozenset({429, 500, 502, 503, 504})
_RETRIES = 5
_BACKOFF_S = 0.5
_RANGE_REFUSED = 416


class _Interrupted(Exception):  # noqa: N818 - a signal inside this module
    """The connection broke after some bytes."""


def mirrored(url: str, mirror: str) -> str:
    """Return `url` on the host `mirror`, a URL that may have a path; `url` itself if `mirror` is empty.

    Raises WeightsError if the mirror is no URL.
    """
    if not mirror:
        return url
    if urlsplit(mirror).scheme not in ("http", "https") or not urlsplit(mirror).netloc:
        raise WeightsError(f"mirror '{mirror}': must be a URL such as https://mirror.example/weights")
    parts = urlsplit(url)
    return mirror.rstrip("/") + parts.path + (f"?{parts.query}" if parts.query else "")


def download(url: str, target: Path, remedy: str, show: ShowBytes = lambda done, total: None) -> None:
    """Download `url` to `target`. A partial file next to it is completed if the server still has the same content.

    remedy: what to do if the server cannot be reached, for the message.

    Raises WeightsError if the server refuses, cannot be reached, or the connection breaks again and again.
    """
    part = target.with_name(f"{target.name}.part")
    with FileLock(f"{part}.lock"), _session() as session:
        for attempt in range(_RETRIES + 1):
            try:
                _transfer(session, url, part, show)
                break
            except _Interrupted as error:
                if attempt == _RETRIES:
                    raise WeightsError(
                        f"{url}: the connection broke after {_size(part)} bytes ({error}): run it again to continue"
                    ) from None
                time.sleep(_BACKOFF_S * 2**attempt)
            except requests.RequestException as error:
                raise WeightsError(f"{url}: {_reason(error)}: {remedy}") from None
            except OSError as error:
                raise WeightsError(f"{part}: cannot be written ({error.strerror or error}): free space there") from None
        part.replace(target)
        _validator_file(part).unlink(missing_ok=True)


def _session() -> requests.Session:
    retry = Retry(
        total=_RETRIES,
        connect=2,
        status_forcelist=_RETRIED,
        backoff_factor=_BACKOFF_S,
        raise_on_status=False,
        allowed_methods={"GET"},
    )
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _transfer(session: requests.Session, url: str, part: Path, show: ShowBytes) -> None:
    """Append to `part` what it lacks; start it again if the server has other content or sends the whole file."""
    headers = {"Accept-Encoding": "identity"}  # so that ranges are of the file's bytes
    validator_file, done = _validator_file(part), _size(part)
    validator = validator_file.read_text() if validator_file.is_file() else ""
    if done and validator:
        headers |= {"Range": f"bytes={done}-", "If-Range": validator}
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as answer:
        if answer.status_code == _RANGE_REFUSED:  # the partial file is as long as the file, or longer
            part.unlink()
            return _transfer(session, url, part, show)
        answer.raise_for_status()
        resumed = answer.headers.get("Content-Range", "").startswith(f"bytes {done}-")
        done = done if resumed else 0
        validator_file.write_text(_validator(answer))
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else 0
        with part.open("ab" if resumed else "wb") as file:
            try:
                for chunk in answer.iter_content(_CHUNK_BYTES):
                    file.write(chunk)
                    done += len(chunk)
                    show(done, total)
            except requests.RequestException as error:
                raise _Interrupted(type(error).__name__) from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _validator_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _validator(answer: requests.Response) -> str:
    """Return the value of If-Range that later asks for the rest of the same content; empty if there is none."""
    etag = answer.headers.get("ETag", "")
    return answer.headers.get("Last-Modified", "") if etag.startswith("W/") or not etag else etag


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    return f"cannot be reached ({type(error).__name__})"
