"""An HTTP server with one file per path that breaks connections, is overloaded, or acts as a proxy."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class WeightsServer:
    """Serves `files` by path, with ranges and entity tags.

    breaks: the next so many answers end in the middle. busy: the next so many answers are 503. requests: path, or URL
    as a proxy gets it, and range of each request, in order.
    """

    files: dict[str, bytes]
    breaks: int = 0
    busy: int = 0
    requests: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        self.requests.append((handler.path, handler.headers.get("Range", "")))
        content = self.files.get(urlsplit(handler.path).path)
        if self.busy or content is None:
            status = 503 if self.busy else 404
            self.busy = max(0, self.busy - 1)
            handler.send_response(status)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        wanted = handler.headers.get("Range") if handler.headers.get("If-Range") in (None, etag) else None
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        if start >= len(content):
            handler.send_response(416)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206 if wanted else 200)
        if wanted:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        for name, value in self.headers(content, etag).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        if handler.command == "HEAD":
            return
        rest = content[start:]
        if self.breaks:
            self.breaks -= 1
            rest, handler.close_connection = rest[: len(rest) // 2], True
        handler.wfile.write(rest)

    def headers(self, content: bytes, etag: str) -> dict[str, str]:
        """Headers of a file, with those of the Hugging Face Hub."""
        return {"ETag": etag, "X-Repo-Commit": "0" * 40, "X-Linked-ETag": etag, "X-Linked-Size": str(len(content))}


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[WeightsServer]:
    """Serve files on a free port of this machine."""
    server = WeightsServer(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.answer(self)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
