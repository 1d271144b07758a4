"""Which label a path gets, by the text of an SELinux policy: file_contexts(5), selabel_file(5).

A rule is `PATTERN [-TYPE] LABEL`. The pattern is a regular expression for the whole path; the last rule that fits
counts, and one whose pattern has no magic at all comes before all others. `<<none>>` leaves the path without a label.
Aliases (`/bin /usr/bin`) put another name in the place of a path's beginning: first the administrator's, then the
distribution's, one of each at most, and of several that fit the last.

Rules are tried as libselinux tries them (label_file.c, 3.4): where the first name of a pattern is plain it must be the
path's first name, and what follows is matched by itself, with `^` and `$` around it, which bind to the outer
alternatives only. That a path is not held against thousands of patterns is this module's own: a rule is looked at only
below the folder that its pattern begins with.

libselinux gives the patterns to PCRE, which tries alternatives one after the other and may need time that doubles with
every character. RE2 needs time in proportion to the path, whatever pattern and path are, and refuses what it lacks:
look-around, back references, repetitions of more than 1,000. Neither Debian's nor Fedora's policy has any of these.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from os_image_composer.formats.window import FormatError

#: Beside `file_contexts` itself and in this order: the rules of a policy. They may be missing.
RULES = ("", ".homedirs", ".local")
ALIASES, LOCAL_ALIASES = ".subs_dist", ".subs"

_TYPES = {
    b"-b": stat.S_IFBLK,
    b"-c": stat.S_IFCHR,
    b"-d": stat.S_IFDIR,
    b"-p": stat.S_IFIFO,
    b"-l": stat.S_IFLNK,
    b"-s": stat.S_IFSOCK,
    b"--": stat.S_IFREG,
}
_NONE = b"<<none>>"
_LABEL = re.compile(rb"[!-9;-~]+:[!-9;-~]+:[!-9;-~]+(:[!-~]+)?")  # user:role:type[:range]
_MAGIC = b".^$?*+|[({"
_LONGEST = 8192  # bytes of a field; a path has 4,096 (PATH_MAX)


class _Expression(Protocol):
    def search(self, text: bytes) -> object: ...


class Rule:
    """One line. `rank` says which of two rules that fit counts: the higher; `kind` is the file type (S_IFMT) that it
    is for, 0 for all; `label` None: it takes the label away; `prefix` is how every path begins that it can fit."""

    __slots__ = ("_compiled", "kind", "label", "pattern", "place", "prefix", "rank", "stem")

    def __init__(self, pattern: bytes, kind: int, label: bytes | None, place: str) -> None:
        self.pattern = pattern
        self.kind = kind
        self.label = label
        self.place = place
        self.rank = 0
        self.stem = _stem(pattern)
        self.prefix = self.stem + _prefix(pattern[len(self.stem) :])
        self._compiled: _Expression | None = None

    def fits(self, path: bytes, stem: bytes) -> bool:
        """Whether the pattern is for `path`, which begins with `stem`."""
        if self._compiled is None:
            self._compiled = _compiled(self.pattern[len(self.stem) :], self.place)
        return self._compiled.search(path[len(stem) :] if self.stem else path) is not None


class _Near(NamedTuple):
    """The rules that may fit what lies in one folder, those that count most first; `stem` is its paths' first name."""

    rules: tuple[Rule, ...]
    stem: bytes


class FileContexts:
    """The rules and aliases of one policy. `texts` are its files by the end of their name (`RULES`, `ALIASES`,
    `LOCAL_ALIASES`); `name` is what errors call the first. Raises FormatError that names the line."""

    def __init__(self, texts: Mapping[str, bytes], name: str = "file_contexts") -> None:
        self._local = _read_aliases(texts.get(LOCAL_ALIASES, b""))
        self._aliases = _read_aliases(texts.get(ALIASES, b""))
        rules = [rule for end in RULES for rule in read_rules(texts.get(end, b""), f"{name}{end}")]
        self._plain: dict[bytes, list[Rule]] = {}
        self._below: dict[bytes, list[Rule]] = {}
        self._near: dict[bytes, _Near] = {}
        plain = [(rule, without_escapes(rule.pattern)) for rule in rules]
        ordered = [pair for pair in plain if pair[1] is None] + [pair for pair in plain if pair[1] is not None]
        for rank, (rule, text) in enumerate(ordered):
            rule.rank = rank
            if text is not None:
                self._plain.setdefault(text, []).insert(0, rule)
            else:
                folder = rule.prefix[: rule.prefix.rfind(b"/")] if rule.prefix else b""
                self._below.setdefault(folder, []).append(rule)

    def label(self, path: bytes, mode: int) -> bytes | None:
        """The label of `path` (absolute) with the type of `mode`; None where the policy gives none."""
        path = _replaced(self._aliases, _replaced(self._local, path))
        kind = stat.S_IFMT(mode)
        for rule in self._plain.get(path, ()):
            if rule.kind in (0, kind):
                return rule.label
        near = self._near_to(path[: path.rfind(b"/")])
        for rule in near.rules:
            if rule.kind in (0, kind) and path.startswith(rule.prefix) and rule.fits(path, near.stem):
                return rule.label
        return None

    def _near_to(self, folder: bytes) -> _Near:
        """The rules for what lies in `folder`, which is empty for the root."""
        near = self._near.get(folder)
        if near is None:
            end = folder.find(b"/", 1)
            stem = folder if end < 0 else folder[:end]
            inside = folder + b"/"
            found = [
                rule
                for above in _and_above(folder)
                for rule in self._below.get(above, ())
                if rule.stem in (b"", stem) and (rule.prefix.startswith(inside) or inside.startswith(rule.prefix))
            ]
            near = _Near(tuple(sorted(found, key=lambda rule: -rule.rank)), stem)
            self._near[folder] = near
        return near


def read_rules(text: bytes, name: str) -> Iterator[Rule]:
    """The rules of one file. Raises FormatError."""
    for number, line in enumerate(text.split(b"\n"), 1):
        fields = line.split()
        if not fields or fields[0].startswith(b"#"):
            continue
        place = f"{name}:{number}"
        if len(fields) < 2:
            raise _wrong(place, "a rule has a pattern and a label")
        if any(len(field) > _LONGEST or not _printable(field) for field in fields[:3]):
            raise _wrong(place, "a field is too long or holds other than printable ASCII characters")
        pattern, label = fields[0], fields[min(len(fields), 3) - 1]
        kind = _TYPES.get(fields[1]) if len(fields) > 2 else 0
        if kind is None:
            raise _wrong(place, f"{fields[1].decode()!r} is no type of file")
        if label != _NONE and not _LABEL.fullmatch(label):
            raise _wrong(place, f"{label.decode()!r} is not a label")
        yield Rule(pattern, kind, None if label == _NONE else label, place)


def without_escapes(pattern: bytes) -> bytes | None:
    """The one path that a pattern without magic fits; None for one that has magic."""
    text = bytearray()
    position = 0
    while position < len(pattern):
        byte = pattern[position : position + 1]
        if byte == b"\\":
            position += 1
            byte = pattern[position : position + 1]
            if not byte or byte.isalnum():  # a class such as \d, or a fault: for the expression's own parser
                return None
        elif byte in _MAGIC:
            return None
        text += byte
        position += 1
    return bytes(text)


def _stem(pattern: bytes) -> bytes:
    """The first name of a pattern, where it is plain and another follows."""
    end = pattern.find(b"/", 1)
    first = pattern[:end] if end > 0 else b""
    return b"" if any(byte in first for byte in _MAGIC + b"\\") else first


def _prefix(pattern: bytes) -> bytes:
    """How everything begins that fits `pattern`: up to its first magic, of which a quantifier may take back the
    character before it. Nothing where an alternative at the top may begin another way, or might."""
    if _may_branch(pattern):
        return b""
    text = bytearray()
    position = 0
    while position < len(pattern):
        byte = pattern[position : position + 1]
        if byte == b"\\":
            position += 1
            byte = pattern[position : position + 1]
            if not byte or byte.isalnum():
                break
        elif byte in _MAGIC:
            if byte in b"?*{":
                del text[-1:]
            break
        text += byte
        position += 1
    return bytes(text)


def _may_branch(pattern: bytes) -> bool:
    """Whether there is a `|` outside of all groups. Options in the middle and comments (`(?…`) are not told apart."""
    if b"|" not in pattern and b"(?" not in pattern:
        return False
    if b"(?" in pattern or b"[" in pattern:
        return True  # a bracket in a class is no group, and a class may hold one
    depth = 0
    escaped = False
    for byte in pattern:
        if escaped:
            escaped = False
        elif byte == ord("\\"):
            escaped = True
        elif byte == ord("("):
            depth += 1
        elif byte == ord(")"):
            depth -= 1
        elif byte == ord("|") and depth <= 0:
            return True
    return False


def _compiled(pattern: bytes, place: str) -> _Expression:
    import re2  # here, since most builds have no policy

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes: a name need not be UTF-8
    options.dot_nl = True
    options.never_capture = True
    options.log_errors = False
    try:
        compiled: _Expression = re2.compile(b"^" + pattern + b"$", options)
    except re2.error as error:
        raise _wrong(place, f"the pattern cannot be used: {error.args[0].decode('ascii', 'replace')}") from None
    return compiled


def _read_aliases(text: bytes) -> list[tuple[bytes, bytes]]:
    """(what a path begins with, what stands there instead), the last line first."""
    found = []
    for line in text.split(b"\n"):
        fields = line.split()
        if len(fields) >= 2 and not fields[0].startswith(b"#"):
            found.append((fields[0], fields[1]))
    return found[::-1]


def _replaced(aliases: Sequence[tuple[bytes, bytes]], path: bytes) -> bytes:
    for alias, instead in aliases:
        if path.startswith(alias) and path[len(alias) : len(alias) + 1] in (b"", b"/"):
            rest = path[len(alias) :]
            return instead + (rest[1:] if instead == b"/" else rest)
    return path


def _and_above(folder: bytes) -> Iterable[bytes]:
    while folder:
        yield folder
        folder = folder[: folder.rfind(b"/")]
    yield b""


def _printable(field: bytes) -> bool:
    return field.isascii() and all(32 < byte < 127 for byte in field)


def _wrong(place: str, cause: str) -> FormatError:
    return FormatError(f"{place}: {cause}")
