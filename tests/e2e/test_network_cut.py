"""The mirror dies in the middle of a fetch: a clear error; when it is back, what is missing is fetched, and no more."""

from __future__ import annotations

import contextlib
import http.server
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from os_image_composer.ospackage.family import family_for
from support.building import Building
from support.workshop import Workshop, remove_workshop

pytestmark = pytest.mark.build

MIB = 1 << 20


class Mirror:
    """Hands on what the host's own mirrors have; dies, with all connections, in the middle of a large package.

    It does so at the first one that it is half through with once `budget` bytes of packages were sent: at any
    other moment it could be that every package that had begun was whole, and then there is nothing to go on with.
    """

    def __init__(self, upstream: Mapping[str, str]) -> None:
        self.upstream = upstream
        self.budget = 20 * MIB
        self.sent = 0
        self.resumed = 0
        self.port = 0
        self._lock = threading.Lock()
        self._dead = threading.Event()

    @property
    def flags(self) -> list[str]:
        return [f"--mirror={name}=http://127.0.0.1:{self.port}/{name}" for name in self.upstream]

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
                    self.sent += len(chunk) if path.endswith(".deb") else 0
                    if self.sent >= self.budget and length >= MIB and length // 4 <= done <= length * 3 // 4:
                        self._dead.set()


@pytest.fixture
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    made = Workshop(tmp_path_factory.mktemp("cut"))
    yield made
    remove_workshop(made)


@pytest.mark.timeout(600)
def test_fetch_that_was_cut_off_goes_on_where_it_ended(workshop: Workshop, tmp_path: Path) -> None:
    mirror = Mirror(family_for("deb").host_mirrors(Path("/etc")))
    with mirror.alive():
        first = Building(workshop, tmp_path / "first", flags=mirror.flags).finished()
    assert first.returncode == 1
    assert "error[mirror-unavailable]: cannot fetch http://127.0.0.1" in first.stderr
    packages = workshop.cache / "packages"
    whole = sum(path.stat().st_size for path in packages.glob("sha256/*/*"))
    begun = sum(path.stat().st_size for path in packages.glob("partial/*"))
    assert whole > 0
    assert begun > 0

    sent, mirror.budget, mirror.resumed = mirror.sent, 1 << 40, 0
    with mirror.alive():
        second = Building(workshop, tmp_path / "second", flags=mirror.flags)
        second.wait_for("step-finished", "image-tools")
        second.process.send_signal(signal.SIGINT)
        second.process.wait(10)
    assert second.events("step-finished"), second.finished().stderr
    assert mirror.resumed > 0
    # Nothing that was whole came twice, and of what had begun the rest.
    there = sum(path.stat().st_size for path in (*packages.glob("sha256/*/*"), *packages.glob("partial/*")))
    assert mirror.sent - sent <= there - whole - begun + 4 * MIB
