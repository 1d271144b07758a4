"""Makes a small signed Debian repository on disk, and serves one on loopback.

repository = DebRepository(tmp_path / "mirror")
repository.add(deb("hello", depends="libhello (>= 1)"))
repository.write()
with served(repository.root) as server:
    repository.described(server.url)   # an ospackage.resolve.Repository
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import http.server
import io
import lzma
import ssl
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Literal

import pysequoia
import zstandard

from os_image_composer.ospackage.resolve import Repository

Form = Literal["", ".gz", ".xz", ".zst"]
NOW = 1_700_000_000.0  # the tests' time of day for what is dated


@dataclass(frozen=True)
class MadePackage:
    """A .deb: its control fields in order and its bytes."""

    fields: Mapping[str, str]
    data: bytes

    @property
    def file_name(self) -> str:
        return f"{self.fields['Package']}_{self.fields['Version']}_{self.fields['Architecture']}.deb"


def deb(
    name: str,
    version: str = "1.0",
    *,
    arch: str = "amd64",
    files: Mapping[str, bytes] | None = None,
    form: Form = ".xz",
    **relations: str,
) -> MadePackage:
    """A package; relations and other fields by keyword: `pre_depends="dpkg (>= 1)"`, `essential="yes"`."""
    fields = {"Package": name, "Version": version, "Architecture": arch, "Maintainer": "Nobody <nobody@invalid>"}
    fields |= {key.replace("_", "-").title(): value for key, value in relations.items()}
    fields["Description"] = f"test package {name}"
    control = "".join(f"{key}: {value}\n" for key, value in fields.items()).encode()
    content = {f"./usr/share/doc/{name}/version": version.encode()} if files is None else files
    return MadePackage(
        fields,
        ar(
            {
                "debian-binary": b"2.0\n",
                f"control.tar{form}": packed(tar({"./control": control}), form),
                f"data.tar{form}": packed(tar(content), form),
            }
        ),
    )


def tar(files: Mapping[str, bytes]) -> bytes:
    """A name that ends with a slash is a folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            if name.endswith("/"):
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def ar(members: Mapping[str, bytes]) -> bytes:
    """An ar(5) archive."""
    parts = [b"!<arch>\n"]
    for name, data in members.items():
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n"
        parts += [header.encode(), data, b"\n" if len(data) % 2 else b""]
    return b"".join(parts)


def packed(data: bytes, form: Form) -> bytes:
    if form == ".xz":
        return lzma.compress(data)
    if form == ".gz":
        return gzip.compress(data)
    return zstandard.compress(data) if form == ".zst" else data


class SigningKey:
    """A new OpenPGP key."""

    def __init__(self, name: str = "Archive", validity_seconds: int | None = None) -> None:
        self.secret = pysequoia.Tsk.generate(f"{name} <archive@invalid>", validity_seconds=validity_seconds)
        self.certificate = self.secret.extract_certificate()
        self.fingerprint: str = self.certificate.fingerprint

    def cleartext(self, text: bytes) -> bytes:
        return pysequoia.sign(self.secret.signer(), text, mode=pysequoia.SignatureMode.CLEAR)

    def detached(self, data: bytes) -> bytes:
        return pysequoia.sign(self.secret.signer(), data, mode=pysequoia.SignatureMode.DETACHED)


def with_signatures(*documents: bytes) -> bytes:
    """One cleartext document that carries the signatures of all of these; their text must be the same."""
    marker = b"-----BEGIN PGP SIGNATURE-----"
    head = documents[0].partition(marker)[0]
    blocks = [bytes(pysequoia.Sig.from_bytes(marker + d.partition(marker)[2])) for d in documents]
    return head + pysequoia.armor(b"".join(blocks), pysequoia.ArmorKind.Signature).encode()


def saying_sha1(signature: bytes) -> bytes:
    """An armored signature whose packet names SHA-1 as its digest."""
    packet = bytearray(bytes(pysequoia.Sig.from_bytes(signature)))
    body = 2 if packet[1] < 192 else 3  # RFC 9580, 4.2.1: the packet's length; 5.2.3: the fourth byte is the digest
    packet[body + 3] = 2
    return pysequoia.armor(bytes(packet), pysequoia.ArmorKind.Signature).encode()


@dataclass
class DebRepository:
    """One suite with one component that is not empty. Dates are seconds since the epoch; `release` replaces or adds
    fields of the Release, None leaves one out; `forms` are the forms in which the index is written."""

    root: Path
    suite: str = "stable"
    component: str = "main"
    empty_components: tuple[str, ...] = ()
    arch: str = "amd64"
    name: str = "test"
    date: float = NOW
    valid_until: float | None = None
    by_hash: bool = True
    forms: tuple[Form, ...] = (".xz",)
    release: dict[str, str | None] = field(default_factory=dict)
    packages: list[MadePackage] = field(default_factory=list)
    key: SigningKey = field(default_factory=SigningKey)

    @property
    def directory(self) -> Path:
        return self.root / "dists" / self.suite

    @property
    def index(self) -> Path:
        """The index in its first form, where by-hash is not used."""
        return self.directory / f"{self.component}/binary-{self.arch}/Packages{self.forms[0]}"

    @property
    def inrelease(self) -> Path:
        return self.directory / "InRelease"

    def add(self, *packages: MadePackage) -> DebRepository:
        self.packages += packages
        return self

    def pool_path(self, package: MadePackage) -> Path:
        return self.root / "pool" / package.file_name

    def write(self) -> DebRepository:
        """Write packages, index, signed InRelease and keyring."""
        for package in self.packages:
            self.pool_path(package).parent.mkdir(parents=True, exist_ok=True)
            self.pool_path(package).write_bytes(package.data)
        self.write_index(self.index_text())
        return self

    def index_text(self) -> bytes:
        entries = []
        for package in self.packages:
            fields = dict(package.fields)
            fields |= {
                "Filename": f"pool/{package.file_name}",
                "Size": str(len(package.data)),
                "SHA256": hashlib.sha256(package.data).hexdigest(),
            }
            entries.append("".join(f"{key}: {value}\n" for key, value in fields.items()))
        return "\n".join(entries).encode()

    def write_index(self, plain: bytes) -> None:
        """An index of this text, and a Release that speaks of it."""
        listed = self._write_one_index(self.component, plain)
        for component in self.empty_components:
            listed |= self._write_one_index(component, b"")
        self.write_release({path: (len(d), hashlib.sha256(d).hexdigest()) for path, d in listed.items()})

    def _write_one_index(self, component: str, plain: bytes) -> dict[str, bytes]:
        relative = f"{component}/binary-{self.arch}"
        directory = self.directory / relative
        directory.mkdir(parents=True, exist_ok=True)
        listed = {f"{relative}/Packages": plain}
        for form in self.forms:
            data = packed(plain, form)
            (directory / f"Packages{form}").write_bytes(data)
            if self.by_hash:
                hashed = directory / "by-hash/SHA256" / hashlib.sha256(data).hexdigest()
                hashed.parent.mkdir(parents=True, exist_ok=True)
                hashed.write_bytes(data)
            listed[f"{relative}/Packages{form}"] = data
        return listed

    def write_release(self, listed: Mapping[str, tuple[int, str]]) -> None:
        fields: dict[str, str | None] = {
            "Origin": "Test",
            "Suite": self.suite,
            "Codename": "codename",
            "Date": formatdate(self.date, usegmt=True),
            "Valid-Until": formatdate(self.valid_until, usegmt=True) if self.valid_until else None,
            "Acquire-By-Hash": "yes" if self.by_hash else None,
            "Architectures": self.arch,
            "Components": " ".join((self.component, *self.empty_components)),
            **self.release,
        }
        lines = [f"{key}: {value}" for key, value in fields.items() if value is not None]
        lines += ["SHA256:", *(f" {sha256} {size} {path}" for path, (size, sha256) in listed.items())]
        self.inrelease.write_bytes(self.key.cleartext("\n".join(lines).encode() + b"\n"))
        self.keyring.write_bytes(bytes(self.key.certificate))

    # What makes it one that is refused, under the names that RpmRepository has for the same.

    @property
    def signed_file(self) -> Path:
        return self.inrelease

    def index_files(self) -> list[Path]:
        return [p for p in self.directory.rglob("*") if p.is_file() and p != self.inrelease]

    def unsign(self) -> None:
        self.inrelease.write_bytes(b"Suite: stable\nDate: now\n")

    def sign_weakly(self) -> None:
        """With a signature that says SHA-1."""
        marker = b"-----BEGIN PGP SIGNATURE-----"
        head, _, rest = self.inrelease.read_bytes().partition(marker)
        self.inrelease.write_bytes(head + saying_sha1(marker + rest))

    def leave_out_sha256(self) -> None:
        text = "Suite: stable\nCodename: x\nDate: Sat, 18 Nov 2023 00:00:00 UTC\nMD5Sum:\n d41d8cd98f00b204 0 a\n"
        self.inrelease.write_bytes(self.key.cleartext(text.encode()))

    def lie_about_index(self, expanded: int) -> None:
        """A Release that says that the index has so many bytes when it is expanded."""
        data = self.index.read_bytes()
        relative = f"{self.component}/binary-{self.arch}/Packages"
        packed_entry = (len(data), hashlib.sha256(data).hexdigest())
        self.write_release({relative: (expanded, "0" * 64), f"{relative}{self.forms[0]}": packed_entry})

    def lead_out(self) -> None:
        """An index whose packages are outside the repository."""
        self.write_index(self.index_text().replace(b"pool/", b"pool/../../"))

    @property
    def keyring(self) -> Path:
        return self.root / "keyring.pgp"

    def described(self, *urls: str, priority: int | None = None, fingerprints: tuple[str, ...] = ()) -> Repository:
        return Repository(
            name=self.name,
            urls=urls,
            suites=(self.suite,),
            components=(self.component,),
            fingerprints=fingerprints or (self.key.fingerprint.upper(),),
            keyrings=(self.keyring,),
            priority=priority,
        )


@dataclass
class Server:
    """A web server on loopback; the switches make it misbehave, for files of more than `spared` bytes. `cut` gives a
    file's first bytes only, for the next so many answers; `stall` answers with half of the file and then with nothing
    until the client gives up; `trickle` gives a byte every so many seconds; `endless` never stops giving; `user` is
    demanded where it is set, and `authorizations` are the headers that came."""

    url: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)  # path, Range header
    ranges: bool = True
    cut: int = 0
    stall: bool = False
    spared: int = 0
    failures: int = 0  # so many next requests get status 503
    redirect: str = ""
    trickle: float = 0.0
    endless: bool = False
    user: tuple[str, str] | None = None
    authorizations: list[str] = field(default_factory=list)


@contextmanager
def served(root: Path, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Files below `root` over HTTP, or over HTTPS with the server's side of TLS."""
    server = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            server.requests.append((self.path, wanted))
            file = root / self.path.lstrip("/")
            said = self.headers.get("Authorization", "")
            server.authorizations += [said] if said else []
            if server.user and said != "Basic " + base64.b64encode(":".join(server.user).encode()).decode():
                self._empty(401, ("WWW-Authenticate", "Basic"))
            elif server.redirect:
                self._empty(302, ("Location", server.redirect))
            elif server.failures:
                server.failures -= 1
                self._empty(503)
            elif not file.is_file():
                self._empty(404)
            else:
                self._give(file.read_bytes(), wanted)

        def _empty(self, status: int, *headers: tuple[str, str]) -> None:
            self.send_response(status)
            for name, value in (*headers, ("Content-Length", "0")):
                self.send_header(name, value)
            self.end_headers()

        def _give(self, data: bytes, wanted: str) -> None:
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            body = data[start:]
            if server.endless:
                self._endless()
                return
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if len(data) <= server.spared:
                self.wfile.write(body)
            elif server.cut:
                server.cut -= 1
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
            elif server.trickle:
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(server.trickle)
            elif server.stall:
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                time.sleep(0.5)
                self.close_connection = True
            else:
                self.wfile.write(body)

        def _endless(self) -> None:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            block = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
            with contextlib.suppress(OSError):  # until the client has enough
                while True:
                    self.wfile.write(block)
            self.close_connection = True

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # a client that goes away, or that TLS refused
                super().handle()

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    if context is not None:
        # The handshake is done by the thread of the connection, so that one that fails stops nobody.
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    server.url = f"{'https' if context else 'http'}://127.0.0.1:{httpd.server_address[1]}"
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
