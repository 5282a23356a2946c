"""A proxy in front of an object store that refuses, delays or loses requests for a while.

python -m tests.support.faulty_object_store HOST PORT HOST:PORT, then POST /-/KIND/SECONDS to it.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KINDS = ("refuse", "slow", "cut", "lose_answers")
_CONTROL = "/-/"
_SLOW_S = 0.5
_SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
_OWN_HEADERS = {"connection", "content-length", "date", "server", "transfer-encoding"}


class FaultyObjectStore:
    """The proxy in a process, because deltalake holds the interpreter's lock while it waits for an answer."""

    def __init__(self, target: str, host: str = "127.0.0.1") -> None:
        """target: host and port of the store. host: the address at which the proxy listens."""
        with socket.socket() as free:
            free.bind((host, 0))
            self.host, self.port = host, int(free.getsockname()[1])
        command = [sys.executable, "-m", __name__, host, str(self.port), target]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        for _ in range(100):
            with suppress(OSError), socket.create_connection((host, self.port), timeout=1):
                return
            time.sleep(0.1)
        raise RuntimeError("the proxy does not start")

    def cause(self, kind: str, seconds: float) -> None:
        """From now on, for some seconds: answer 503, wait before each answer, or cut connections before or after."""
        url = f"http://{self.host}:{self.port}{_CONTROL}{kind}/{seconds}"
        with urllib.request.urlopen(urllib.request.Request(url, method="POST")) as answer:
            answer.read()

    def faulty_requests(self) -> int:
        """Return how many requests had a fault so far."""
        with urllib.request.urlopen(f"http://{self.host}:{self.port}{_CONTROL}") as answer:
            return int(answer.read())

    def close(self) -> None:
        """End the proxy."""
        self._process.kill()
        self._process.wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, target: str) -> None:
        super().__init__((host, port), _Handler)
        self.target = target
        self.kind, self.until, self.faults = "", 0.0, 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith(_CONTROL):
            return self._control()
        kind = self.server.kind if time.monotonic() < self.server.until else ""
        self.server.faults += kind != ""
        if kind == "refuse":
            return self._answer(503, [], _SLOW_DOWN)
        if kind == "slow":
            time.sleep(_SLOW_S)
        if kind == "cut":
            return self._cut()
        answer = self._pass_on(body)
        if kind == "lose_answers":
            return self._cut()
        return self._answer(*answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815

    def _control(self) -> None:
        if self.command == "POST":
            self.server.kind, seconds = self.path.removeprefix(_CONTROL).split("/")
            self.server.until = time.monotonic() + float(seconds)
        self._answer(200, [], str(self.server.faults).encode())

    def _pass_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        target = http.client.HTTPConnection(self.server.target, timeout=60)
        try:
            target.request(self.command, self.path, body, dict(self.headers))
            answer = target.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            target.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer; to HEAD with the length of the object, whose content is not sent."""
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        length = lengths[0] if self.command == "HEAD" and lengths else str(len(body))
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _OWN_HEADERS:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _cut(self) -> None:
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Write no line for each request."""


if __name__ == "__main__":
    _Server(sys.argv[1], int(sys.argv[2]), sys.argv[3]).serve_forever()
