"""A forward proxy on loopback (RFC 9110, sections 7.6 and 9.3.6): CONNECT, and absolute URLs over http."""

from __future__ import annotations

import base64
import http.client
import http.server
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Proxy:
    """`asked` are the targets in order; `user` is demanded where it is set; `saw` are the bytes of headers that the
    proxy could read."""

    url: str = ""
    user: tuple[str, str] | None = None
    asked: list[str] = field(default_factory=list)
    saw: list[str] = field(default_factory=list)


@contextmanager
def forwarding() -> Iterator[Proxy]:
    proxy = Proxy()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_CONNECT(self) -> None:
            if not self._may():
                return
            host, _, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=10) as far:
                self.send_response(200)
                self.end_headers()
                self.wfile.flush()
                _join(self.connection, far)
            self.close_connection = True

        def do_GET(self) -> None:
            if not self._may():
                return
            parts = urlsplit(self.path)
            far = http.client.HTTPConnection(parts.netloc, timeout=10)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "proxy-authorization")}
            far.request("GET", parts.path, headers=headers)
            answer = far.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            far.close()

        def _may(self) -> bool:
            proxy.asked.append(self.path)
            proxy.saw.append(str(self.headers))
            wanted = proxy.user and "Basic " + base64.b64encode(":".join(proxy.user).encode()).decode()
            if wanted and self.headers.get("Proxy-Authorization") != wanted:
                self.send_response(407)
                self.send_header("Proxy-Authenticate", "Basic")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return False
            return True

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    proxy.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    try:
        yield proxy
    finally:
        httpd.shutdown()
        httpd.server_close()


def _join(one: socket.socket, other: socket.socket) -> None:
    while True:
        ready, _, _ = select.select([one, other], [], [], 10)
        if not ready:
            return
        for near in ready:
            data = near.recv(1 << 16)
            if not data:
                return
            (other if near is one else one).sendall(data)
