"""A mirror between the program and other mirrors, which dies in the middle of a package and comes back."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator, Mapping

import httpx

MIB = 1 << 20
PACKAGES = (".deb", ".rpm")


class DyingMirror:
    """Hands on what other mirrors have, by name; dies, with all connections, in the middle of a large package.

    It does so at the first one that it is half through with once `budget` bytes of packages were sent: at any
    other moment it could be that every package that had begun was whole, and then there is nothing to go on with.
    """

    def __init__(self, upstream: Mapping[str, str], budget: int) -> None:
        self.upstream = upstream
        self.budget = budget
        self.sent = 0
        self.resumed = 0
        self.port = 0
        self._lock = threading.Lock()
        self._dead = threading.Event()

    @property
    def url(self) -> str:
        """Where the folders of the mirrors' names are, once it has listened."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def flags(self) -> list[str]:
        return [f"--mirror={name}={self.url}/{name}" for name in self.upstream]

    @contextlib.contextmanager
    def alive(self) -> Iterator[None]:
        """Listening, on the same port each time."""
        self._dead.clear()
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                with contextlib.suppress(OSError, httpx.HTTPError):
                    mirror._hand_on(self)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        server.daemon_threads = True
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

        def kill() -> None:
            self._dead.wait()
            server.shutdown()
            server.server_close()

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            yield
        finally:
            self._dead.set()
            killer.join()

    def _hand_on(self, request: http.server.BaseHTTPRequestHandler) -> None:
        _, name, path = request.path.split("/", 2)
        headers = {"Range": request.headers["Range"]} if "Range" in request.headers else {}
        self.resumed += bool(headers)
        with httpx.stream("GET", f"{self.upstream[name]}/{path}", headers=headers, follow_redirects=True) as reply:
            request.send_response(reply.status_code)
            for header in ("Content-Length", "Content-Range"):
                if header in reply.headers:
                    request.send_header(header, reply.headers[header])
            request.end_headers()
            length, done = int(reply.headers.get("Content-Length", 0)), 0
            for chunk in reply.iter_raw(1 << 16):
                if self._dead.is_set():
                    return
                request.wfile.write(chunk)
                done += len(chunk)
                with self._lock:
                    self.sent += len(chunk) if path.endswith(PACKAGES) else 0
                    if self.sent >= self.budget and length >= MIB and length // 4 <= done <= length * 3 // 4:
                        self._dead.set()
