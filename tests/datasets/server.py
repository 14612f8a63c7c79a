"""A web server on this machine that behaves as badly as it is told to."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What the server does with one address.

    Attributes:
        body: The file.
        etag: Its mark, sent with the answer.
        ranges: Whether it answers with a part when asked for one.
        checks_mark: Whether it compares ``If-Range``; some servers do not.
        cuts: For each request in turn, after how many bytes the connection is closed; None sends all.
        status: Answer with this error.
        kind: The content type.
    """

    body: bytes
    etag: str | None = '"one"'
    ranges: bool = True
    checks_mark: bool = True
    cuts: list[int | None] = field(default_factory=list)
    status: int = 200
    kind: str = "application/octet-stream"


@dataclass
class Request:
    path: str
    range: str | None
    sent: int


class Server(ThreadingHTTPServer):
    """Files by address, and what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, Served] = {}
        self.requests: list[Request] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        served = self.server.files.get(self.path.removeprefix("/"))
        asked = self.headers.get("Range")
        if served is None or served.status != 200:
            self.server.requests.append(Request(self.path, asked, 0))
            self.send_error(404 if served is None else served.status)
            return
        found = re.fullmatch(r"bytes=(\d+)-", asked or "")
        mark = self.headers.get("If-Range")
        fits = not served.checks_mark or mark is None or (mark == served.etag and not mark.startswith("W/"))
        start = int(found[1]) if found and served.ranges and fits else 0
        if start and start >= len(served.body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(served.body) - 1}/{len(served.body)}")
        if served.etag:
            self.send_header("ETag", served.etag)
        self.send_header("Content-Type", served.kind)
        self.send_header("Content-Length", str(len(served.body) - start))
        self.end_headers()
        cut = served.cuts.pop(0) if served.cuts else None
        body = served.body[start:] if cut is None else served.body[start : start + cut]
        self.server.requests.append(Request(self.path, asked, len(body)))
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running_server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
