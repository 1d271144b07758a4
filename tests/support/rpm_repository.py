"""Makes a small signed RPM repository on disk.

repository = RpmRepository(tmp_path / "mirror")
repository.add(rpm("hello", requires=("libhello >= 1",)))
repository.write()
with served(repository.root) as server:
    repository.described(server.url)   # an ospackage.resolve.Repository
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import zstandard

from os_image_composer.ospackage.resolve import Repository
from support.deb_repository import NOW, SigningKey, saying_sha1
from support.rpm_package import MadeRpm, relation

_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}
_FLAGS = {"<": "LT", ">": "GT", "=": "EQ", "<=": "LE", ">=": "GE"}


@dataclass
class RpmRepository:
    """`date` is in seconds since the epoch; `form` says how indexes are compressed; `package_key` signs the packages
    (the repository's own key unless it is given; None leaves them unsigned); `replaced` gives other bytes for a
    package, which the metadata then describes; `entries` makes its entry in primary.xml another one."""

    root: Path
    name: str = "test"
    date: int = int(NOW)
    form: str = ".zst"
    arch: str = "x86_64"
    checksum_type: str = "sha256"
    packages: list[MadeRpm] = field(default_factory=list)
    key: SigningKey = field(default_factory=SigningKey)
    package_key: SigningKey | str | None = "own"
    replaced: dict[str, bytes] = field(default_factory=dict)
    metadata_only: bool = False
    _signed: dict[tuple[int, int], tuple[MadeRpm, bytes]] = field(default_factory=dict)

    @property
    def repomd(self) -> Path:
        return self.root / "repodata/repomd.xml"

    @property
    def signature(self) -> Path:
        return self.root / "repodata/repomd.xml.asc"

    @property
    def keyring(self) -> Path:
        return self.root / "key.pgp"

    def index(self, kind: str = "primary") -> Path:
        return self.root / f"repodata/{kind}.xml{self.form}"

    def path(self, package: MadeRpm) -> Path:
        return self.root / "Packages" / package.name[0] / package.file_name

    def add(self, *packages: MadeRpm) -> RpmRepository:
        self.packages += packages
        return self

    def write(self) -> RpmRepository:
        """Write packages, indexes, signed repomd.xml and key."""
        bytes_of = {}
        for package in self.packages:
            data = bytes_of[id(package)] = self._bytes(package)
            if not self.metadata_only:
                self.path(package).parent.mkdir(parents=True, exist_ok=True)
                self.path(package).write_bytes(data)
        self.write_indexes(
            {
                "primary": primary(
                    [(p, bytes_of[id(p)], f"Packages/{p.name[0]}/{p.file_name}") for p in self.packages]
                ),
                "filelists": filelists([(p, bytes_of[id(p)]) for p in self.packages]),
            }
        )
        return self

    def write_indexes(self, texts: Mapping[str, bytes]) -> None:
        """Indexes of these texts, and a signed repomd.xml that speaks of them."""
        (self.root / "repodata").mkdir(parents=True, exist_ok=True)
        entries = []
        for kind, text in texts.items():
            data = _PACKERS[self.form](text)
            self.index(kind).write_bytes(data)
            entries.append(self.entry(kind, data, text))
        self.write_repomd("".join(entries))

    def entry(self, kind: str, data: bytes, text: bytes, **replaced: object) -> str:
        """What repomd.xml says of an index; `size`, `open_size`, `checksum`, `open_checksum`, `href` replace it."""
        says = {
            "checksum": hashlib.sha256(data).hexdigest(),
            "open_checksum": hashlib.sha256(text).hexdigest(),
            "size": len(data),
            "open_size": len(text),
            "href": f"repodata/{kind}.xml{self.form}",
            **replaced,
        }
        return (
            f'<data type="{kind}"><checksum type="{self.checksum_type}">{says["checksum"]}</checksum>'
            f'<open-checksum type="{self.checksum_type}">{says["open_checksum"]}</open-checksum>'
            f'<location href="{says["href"]}"/><timestamp>{self.date}</timestamp>'
            f"<size>{says['size']}</size><open-size>{says['open_size']}</open-size></data>\n"
        )

    def write_repomd(self, entries: str) -> None:
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<repomd xmlns="http://linux.duke.edu/metadata/repo">'
            f"<revision>{self.date}</revision>\n{entries}</repomd>\n"
        )
        self.sign(text.encode())

    def sign(self, repomd: bytes) -> None:
        self.repomd.parent.mkdir(parents=True, exist_ok=True)
        self.repomd.write_bytes(repomd)
        self.signature.write_bytes(self.key.detached(repomd))
        self.keyring.write_bytes(bytes(self.key.certificate))

    # What makes it one that is refused, under the names that DebRepository has for the same.

    @property
    def signed_file(self) -> Path:
        return self.repomd

    def index_files(self) -> list[Path]:
        return [self.index(kind) for kind in ("primary", "filelists")]

    def unsign(self) -> None:
        self.signature.unlink()

    def sign_weakly(self) -> None:
        """With a signature that says SHA-1."""
        self.signature.write_bytes(saying_sha1(self.signature.read_bytes()))

    def leave_out_sha256(self) -> None:
        self.checksum_type = "md5"
        self.write()

    def lie_about_index(self, expanded: int) -> None:
        """A repomd.xml that says that the index has so many bytes when it is expanded."""
        data = self.index().read_bytes()
        self.write_repomd(self.entry("primary", data, b"", open_size=expanded, open_checksum="0" * 64))

    def lead_out(self) -> None:
        """An index whose packages are outside the repository."""
        self.write_indexes({"primary": primary([(p, self._bytes(p), f"../{p.file_name}") for p in self.packages])})

    def described(self, *urls: str, priority: int = 500, fingerprints: tuple[str, ...] = ()) -> Repository:
        return Repository(
            name=self.name,
            urls=urls,
            suites=(),
            components=(),
            fingerprints=fingerprints or (self.key.fingerprint.upper(),),
            keyrings=(self.keyring,),
            priority=priority,
        )

    def _bytes(self, package: MadeRpm) -> bytes:
        if package.name in self.replaced:
            return self.replaced[package.name]
        if self.metadata_only:
            return f"{package.file_name} {package.epoch}".encode()
        key = self.key if isinstance(self.package_key, str) else self.package_key
        if key is None:
            return package.data()
        # Signed once, as by a vendor: a signature has its time in it.
        if (id(package), id(key)) not in self._signed:
            self._signed[id(package), id(key)] = (package, package.signed(key))
        return self._signed[id(package), id(key)][1]


def primary(packages: list[tuple[MadeRpm, bytes, str]]) -> bytes:
    """primary.xml of these packages, with their bytes and paths."""
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n<metadata xmlns="http://linux.duke.edu/metadata/common" '
        f'xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="{len(packages)}">\n'
    ]
    for package, data, path in packages:
        said, built = package.tags.get(1009), package.tags.get(1006)
        installed = said[1][0] if said else sum(len(c.data) for c in package.files.values())
        parts += [
            f'<package type="rpm"><name>{escape(package.name)}</name><arch>{package.arch}</arch>',
            _version(package),
            f'<checksum type="sha256" pkgid="YES">{hashlib.sha256(data).hexdigest()}</checksum>',
            "<summary>a test</summary><description/><packager/><url/>",
            f'<time file="1" build="{built[1][0] if built else 1}"/>',
            f'<size package="{len(data)}" installed="{installed}" archive="{installed}"/>',
            f"<location href={quoteattr(path)}/><format><rpm:license>{escape(package.license)}</rpm:license>",
            f"<rpm:sourcerpm>{package.source or package.file_name.replace(package.arch, 'src')}</rpm:sourcerpm>",
        ]
        for kind in (
            "provides",
            "requires",
            "conflicts",
            "obsoletes",
            "recommends",
            "suggests",
            "supplements",
            "enhances",
        ):
            texts = package.provided() if kind == "provides" else package.relations.get(kind, ())
            if texts:
                parts.append(f"<rpm:{kind}>{''.join(map(_entry, texts))}</rpm:{kind}>")
        parts += [f"<file>{escape(p)}</file>" for p in package.files if p.startswith("/etc/") or "bin/" in p]
        parts.append("</format></package>\n")
    return "".join([*parts, "</metadata>\n"]).encode()


def filelists(packages: list[tuple[MadeRpm, bytes]]) -> bytes:
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<filelists xmlns="http://linux.duke.edu/metadata/filelists" packages="{len(packages)}">\n'
    ]
    for package, data in packages:
        digest = hashlib.sha256(data).hexdigest()
        files = "".join(f"<file>{escape(path)}</file>" for path in package.files)
        parts.append(
            f'<package pkgid="{digest}" name={quoteattr(package.name)} arch="{package.arch}">'
            f"{_version(package)}{files}</package>\n"
        )
    return "".join([*parts, "</filelists>\n"]).encode()


def _version(package: MadeRpm) -> str:
    return f'<version epoch="{package.epoch}" ver="{package.version}" rel="{package.release}"/>'


def _entry(text: str) -> str:
    name, operator, evr = relation(text)
    if not operator:
        return f"<rpm:entry name={quoteattr(name)}/>"
    epoch, _, rest = evr.rpartition(":")
    version, _, release = rest.partition("-")
    tail = f' rel="{release}"' if release else ""
    flags = _FLAGS[operator]
    return f'<rpm:entry name={quoteattr(name)} flags="{flags}" epoch="{epoch or 0}" ver="{version}"{tail}/>'
