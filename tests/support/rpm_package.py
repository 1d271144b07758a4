"""Makes RPM files byte by byte, good ones and broken ones; no rpmbuild.

data = rpm("hello", "1.0", requires=("libhello >= 1",), files={"/usr/bin/hello": b"#!"}).signed(key)
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import stat
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pysequoia
import zstandard

from support.deb_repository import SigningKey

INT16, INT32, INT64, STRING, BIN, STRINGS, I18N = 3, 4, 5, 6, 7, 8, 9
_SENSE = {"<": 2, ">": 4, "=": 8, "<=": 10, ">=": 12}
# Name, flags and version of each kind of relation (rpmtag.h).
_RELATIONS = {
    "provides": (1047, 1112, 1113),
    "requires": (1049, 1048, 1050),
    "conflicts": (1054, 1053, 1055),
    "obsoletes": (1090, 1114, 1115),
    "recommends": (5046, 5048, 5047),
    "suggests": (5049, 5051, 5050),
    "supplements": (5052, 5054, 5053),
    "enhances": (5055, 5057, 5056),
}
PACKERS = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zstd": zstandard.ZstdCompressor(level=3).compress,
    "bzip2": bz2.compress,
}
Tags = dict[int, tuple[int, Any]]


@dataclass(frozen=True)
class Content:
    """A file of a package. `link` makes it a symlink, `same_as` a further name of another file."""

    data: bytes = b""
    mode: int = 0o644
    link: str = ""
    same_as: str = ""
    directory: bool = False
    ghost: bool = False
    device: bool = False


@dataclass(frozen=True)
class MadeRpm:
    """A package as it is described; `data()` is the unsigned file, `signed(key)` the signed one. `tags` replaces or
    adds tags of the header, None leaves one out; `stripped` writes rpm's archive for large files."""

    name: str
    version: str = "1.0"
    release: str = "1"
    epoch: int = 0
    arch: str = "noarch"
    license: str = "MIT"
    source: str = ""
    relations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Mapping[str, Content] = field(default_factory=dict)
    compressor: str = "zstd"
    stripped: bool = False
    tags: Mapping[int, tuple[int, Any] | None] = field(default_factory=dict)

    @property
    def evr(self) -> str:
        return f"{self.epoch}:" * bool(self.epoch) + f"{self.version}-{self.release}"

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}-{self.release}.{self.arch}.rpm"

    def provided(self) -> tuple[str, ...]:
        return (f"{self.name} = {self.evr}", *self.relations.get("provides", ()))

    def header(self, payload: bytes) -> bytes:
        tags: Tags = {
            100: (STRINGS, ["C"]),
            1000: (STRING, self.name),
            1001: (STRING, self.version),
            1002: (STRING, self.release),
            1004: (I18N, [f"test package {self.name}"]),
            1005: (I18N, [f"test package {self.name}"]),
            1006: (INT32, [1_700_000_000]),
            1007: (STRING, "localhost"),
            1009: (INT32, [sum(len(c.data) for c in self.files.values())]),
            1014: (STRING, self.license),
            1016: (I18N, ["Unspecified"]),
            1021: (STRING, "linux"),
            1022: (STRING, self.arch),
            1044: (STRING, self.source or f"{self.name}-{self.version}-{self.release}.src.rpm"),
            1064: (STRING, "4.18.0"),
            1124: (STRING, "cpio"),
            1125: (STRING, self.compressor),
            1126: (STRING, "3"),
            5092: (STRINGS, [hashlib.sha256(payload).hexdigest()]),
            5093: (INT32, [8]),
        }
        if self.epoch:
            tags[1003] = (INT32, [self.epoch])
        for kind, (name_tag, flag_tag, version_tag) in _RELATIONS.items():
            entries = [
                relation(text) for text in (self.provided() if kind == "provides" else self.relations.get(kind, ()))
            ]
            if entries:
                tags[name_tag] = (STRINGS, [e[0] for e in entries])
                tags[flag_tag] = (INT32, [_SENSE.get(e[1], 0) for e in entries])
                tags[version_tag] = (STRINGS, [e[2] for e in entries])
        tags |= self._file_tags()
        for tag, value in self.tags.items():
            if value is None:
                tags.pop(tag, None)
            else:
                tags[tag] = value
        return structure(tags, 63)

    def payload(self) -> bytes:
        return PACKERS[self.compressor](self.archive())

    def archive(self) -> bytes:
        """The cpio archive: of several names of one file the last has the content."""
        inodes = self._inodes()
        last = {inodes[path]: path for path, c in self.files.items() if not c.ghost}
        links = Counter(inodes.values())
        parts: list[bytes] = []
        for number, (path, content) in enumerate(self.files.items()):
            if content.ghost:
                continue
            origin = self.files[content.same_as] if content.same_as else content
            data = content.link.encode() if content.link else origin.data
            if last[inodes[path]] != path:
                data = b""
            if self.stripped:
                head = b"07070X%08x" % number
                head += b"\0" * (-len(head) % 4)
            else:
                head = newc(f".{path}", self._mode(path), len(data), inodes[path], links[inodes[path]])
            parts += [head, data, b"\0" * (-len(data) % 4)]
        parts.append(newc("TRAILER!!!", 0, 0, 0, 1))
        return b"".join(parts)

    def data(self, *signatures: tuple[int, bytes], payload: bytes | None = None, header: bytes | None = None) -> bytes:
        """The file; `payload` and `header` put others in the place of those that were described and signed."""
        described = self.payload()
        own = self.header(described)
        tags: Tags = {273: (STRING, hashlib.sha256(header or own).hexdigest())}
        tags |= {tag: (BIN, value) for tag, value in signatures}
        signature = structure(tags, 62)
        signature += b"\0" * (-len(signature) % 8)
        lead = struct.pack(">4sBBHH66sHH16x", b"\xed\xab\xee\xdb", 3, 0, 0, 1, self.name.encode()[:65], 1, 5)
        return lead + signature + (header or own) + (described if payload is None else payload)

    def signature(self, key: SigningKey) -> tuple[int, bytes]:
        """Of the header, as the tag that holds it."""
        return 267, detached(key, self.header(self.payload()))

    def signed(self, key: SigningKey) -> bytes:
        return self.data(self.signature(key))

    def _inodes(self) -> dict[str, int]:
        numbers = {path: number for number, path in enumerate(self.files, 1)}
        return {path: numbers[content.same_as or path] for path, content in self.files.items()}

    def _mode(self, path: str) -> int:
        content = self.files[path]
        content = self.files[content.same_as] if content.same_as else content
        if content.device:
            return stat.S_IFCHR | content.mode
        if content.link:
            return stat.S_IFLNK | 0o777
        return (stat.S_IFDIR | 0o755) if content.directory else (stat.S_IFREG | content.mode)

    def _file_tags(self) -> Tags:
        if not self.files:
            return {}
        paths = list(self.files)
        origins = [self.files[c.same_as] if c.same_as else c for c in self.files.values()]
        folders = list(dict.fromkeys(p.rpartition("/")[0] + "/" for p in paths))
        regular = [not (c.link or c.directory or c.device) for c in origins]
        count = len(paths)
        return {
            1028: (INT32, [len(c.link) if c.link else len(c.data) for c in origins]),
            1030: (INT16, [self._mode(p) for p in paths]),
            1033: (INT16, [0] * count),
            1034: (INT32, [1_700_000_000] * count),
            1035: (
                STRINGS,
                [hashlib.sha256(c.data).hexdigest() if r else "" for c, r in zip(origins, regular, strict=True)],
            ),
            1036: (STRINGS, [c.link for c in origins]),
            1037: (INT32, [64 if c.ghost else 0 for c in self.files.values()]),
            1039: (STRINGS, ["root"] * count),
            1040: (STRINGS, ["root"] * count),
            1045: (INT32, [0xFFFFFFFF] * count),
            1095: (INT32, [1] * count),
            1096: (INT32, list(self._inodes().values())),
            1097: (STRINGS, [""] * count),
            1116: (INT32, [folders.index(p.rpartition("/")[0] + "/") for p in paths]),
            1117: (STRINGS, [p.rpartition("/")[2] for p in paths]),
            1118: (STRINGS, folders),
            5011: (INT32, [8]),
        }


def rpm(name: str, evr: str = "1.0-1", **described: Any) -> MadeRpm:
    """A package; relations by keyword (`requires=("a >= 1", "/usr/bin/b")`), files as bytes or `Content`."""
    epoch, _, rest = evr.rpartition(":")
    version, _, release = rest.partition("-")
    relations = {kind: tuple(described.pop(kind)) for kind in _RELATIONS if kind in described}
    files = described.pop("files", {})
    files = {p: c if isinstance(c, Content) else Content(c) for p, c in files.items()}
    return MadeRpm(name, version, release or "1", int(epoch or 0), relations=relations, files=files, **described)


def relation(text: str) -> tuple[str, str, str]:
    """Name, operator and version of a relation; a rich one is all name."""
    if text.startswith("("):
        return text, "", ""
    name, *rest = text.split()
    return (name, *rest) if rest else (name, "", "")  # type: ignore[return-value]


def structure(tags: Tags, region: int) -> bytes:
    """A header structure with an immutable region around all of it."""
    index, data = b"", b""
    for tag, (kind, value) in sorted(tags.items()):
        width = {INT16: 2, INT32: 4, INT64: 8}.get(kind, 1)
        data += b"\0" * (-len(data) % width)
        packed, count = _packed(kind, value)
        index += struct.pack(">IIII", tag, kind, len(data), count)
        data += packed
    count = len(tags) + 1
    first = struct.pack(">IIII", region, BIN, len(data), 16)
    data += struct.pack(">IIiI", region, BIN, -16 * count, 16)
    return b"\x8e\xad\xe8\x01\0\0\0\0" + struct.pack(">II", count, len(data)) + first + index + data


def newc(name: str, mode: int, size: int, inode: int, links: int) -> bytes:
    fields = (inode, mode, 0, 0, links, 1_700_000_000, size, 0, 0, 0, 0, len(name.encode()) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % n for n in fields) + name.encode() + b"\0"
    return head + b"\0" * (-len(head) % 4)


def detached(key: SigningKey, data: bytes) -> bytes:
    """A binary detached signature."""
    return bytes(pysequoia.Sig.from_bytes(key.detached(data)))


def _packed(kind: int, value: Any) -> tuple[bytes, int]:
    if kind == STRING:
        return value.encode() + b"\0", 1
    if kind in (STRINGS, I18N):
        return b"".join(v.encode() + b"\0" for v in value), len(value)
    if kind == BIN:
        return value, len(value)
    letter = {INT16: "H", INT32: "I", INT64: "Q"}[kind]
    return struct.pack(f">{len(value)}{letter}", *value), len(value)
