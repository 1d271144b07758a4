"""The command against a small repository of the test's own, of either package family: everything that a build asks for
is there, by name only."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from os_image_composer.cli.main import run
from os_image_composer.config.spec import Target
from support.deb_repository import MadePackage, Server, SigningKey, ar, deb, packed, served
from support.rpm_package import MadeRpm
from support.small_data import SmallData, name_of

DAY = 86400


@dataclass
class HostileMirror:
    """`data` is as it should be until a test changes it."""

    data: SmallData
    server: Server

    @property
    def folder(self) -> Path:
        return self.data.folder

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def repository(self) -> Any:
        """Of either family: what is asked of it here both have."""
        return self.data.repository

    def use(self, url: str, network: str = "timeout: 1") -> None:
        """Settings with which the mirrors are at `url`."""
        (self.folder / "settings.yml").write_text(
            f"config_dir: {self.data.data}\ncache_dir: {self.cache}\nwork_dir: {self.folder / 'work'}\nworkers: 1\n"
            f"{self.data.mirrors(url)}network: {{{network}}}\n"
        )

    def replace(self, package: MadePackage | MadeRpm) -> None:
        """Put a package in place of the harmless one of its name."""
        repository = self.repository
        repository.packages = [p for p in repository.packages if name_of(p) != name_of(package)]
        repository.add(package).write()

    def command(self, *words: str) -> int:
        """The exit code of one command line."""
        return run(["--config", str(self.folder / "settings.yml"), *words])

    def kept(self) -> list[str]:
        """Files of images, results, packages and metadata that are there."""
        places = ("work", "cache/store", "cache/packages", "cache/metadata", "cache/locks", "cache/outputs")
        files = (p for place in places for p in (self.folder / place).rglob("*") if p.is_file())
        return sorted(str(p.relative_to(self.folder)) for p in files if not p.name.endswith("lock"))


@contextmanager
def hostile_mirror(folder: Path, family: str = "deb", target: Target | None = None) -> Iterator[HostileMirror]:
    """A mirror, with the distribution data that speaks of it and a key of its own."""
    data = SmallData(family, folder, float(int(time.time())) - 60, target)
    data.write()
    with served(data.root) as server:
        mirror = HostileMirror(data, server)
        mirror.use(server.url)
        yield mirror


# -- faults that both families can have ------------------------------------------------------------------------------


def of_the_future(mirror: HostileMirror) -> None:
    mirror.repository.date = int(time.time()) + DAY
    mirror.repository.write()


def not_signed(mirror: HostileMirror) -> None:
    mirror.repository.unsign()


def of_another_key(mirror: HostileMirror) -> None:
    keyring = mirror.repository.keyring.read_bytes()
    mirror.repository.key = SigningKey("Mallory")
    mirror.repository.write()
    mirror.repository.keyring.write_bytes(keyring)


def changed_after_signing(mirror: HostileMirror) -> None:
    signed = mirror.repository.signed_file
    data = signed.read_bytes()
    at = data.index(b"e", len(data) // 4)
    signed.write_bytes(data[:at] + b"E" + data[at + 1 :])


def signed_with_sha1(mirror: HostileMirror) -> None:
    mirror.repository.sign_weakly()


def without_sha256(mirror: HostileMirror) -> None:
    mirror.repository.leave_out_sha256()


def index_that_expands(mirror: HostileMirror) -> None:
    mirror.repository.lie_about_index(10)


def index_of_a_size_beyond_all(mirror: HostileMirror) -> None:
    mirror.repository.lie_about_index(1 << 33)


def index_of_a_wrong_size(mirror: HostileMirror) -> None:
    for file in mirror.repository.index_files():
        file.write_bytes(file.read_bytes() + b"x")


def changed_index(mirror: HostileMirror) -> None:
    for file in mirror.repository.index_files():
        file.write_bytes(bytes(reversed(file.read_bytes())))


def entry_that_leads_out(mirror: HostileMirror) -> None:
    mirror.repository.lead_out()


def truncated(mirror: HostileMirror) -> None:
    mirror.server.cut, mirror.server.ranges = 999, False


def stalling(mirror: HostileMirror) -> None:
    mirror.server.stall = True


def endless(mirror: HostileMirror) -> None:
    mirror.server.endless = True


def redirecting_to_a_file(mirror: HostileMirror) -> None:
    mirror.server.redirect = "file:///etc/passwd"


# -- packages of one family --------------------------------------------------------------------------------------------


def package_with(*entries: tarfile.TarInfo, control: bytes | None = None) -> MadePackage:
    """base-files with these entries in its data; `control` replaces its control file, which is left out where it is
    empty."""
    made = deb("base-files", essential="yes")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(b"x" * entry.size))
    text = (
        control if control is not None else "".join(f"{key}: {value}\n" for key, value in made.fields.items()).encode()
    )
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        info = tarfile.TarInfo("./control")
        info.size = len(text)
        if text:
            archive.addfile(info, io.BytesIO(text))
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": packed(inner.getvalue(), ".xz"),
        "data.tar.xz": packed(buffer.getvalue(), ".xz"),
    }
    return MadePackage(made.fields, ar(members))


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", *, size: int = 0, uid: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.uid = kind, link, size, uid
    return info
