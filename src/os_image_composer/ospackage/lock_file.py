"""Reading a lock back. A lock may come from somebody else, and what it says becomes file names, URLs and arguments:
each value must be what `dump_lock` can have written, in the form in which it writes, and nothing beside these may be
there. What is wrong is told with its line.
"""

from __future__ import annotations

import functools
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from os_image_composer.config.settings import mirror_problem
from os_image_composer.errors import MetadataError, Origin
from os_image_composer.ospackage.lock import (
    AskedGroup,
    Lock,
    LockedPackage,
    LockedRepository,
    PackageSet,
    Transaction,
)
from os_image_composer.ospackage.lock_text import LOCK_VERSION, SEAL, TIME, key_of, line_of, seal_of, text_of
from os_image_composer.ospackage.transactions import needs_of, reachable

MAX_LOCK = 64 << 20  # characters; a lock of 1,000 packages has 0.6 MB
_MOST_BYTES = 1 << 40
_LAST_TIME = 253402300799  # seconds since the epoch; the end of the year 9999

T = TypeVar("T")
Reader = Callable[[Any, str], T]


class _WrongError(Exception):
    """What is wrong in the lock and at which place, or on which line; never leaves this file."""

    def __init__(self, message: str, place: str = "", line: int | None = None) -> None:
        super().__init__(message)
        self.place, self.line = place, line


@dataclass(frozen=True)
class LockFile:
    """A lock that was read from a file, which knows where in it things stand."""

    path: Path
    lock: Lock
    data: Mapping[str, Any]

    def origin(self, place: str | Sequence[str | int]) -> Origin:
        return Origin(str(self.path), line_of(self.data, place), 1)

    def repository_origin(self, name: str, key: str = "") -> Origin:
        """Where a repository stands, or what it says of `key`."""
        names = [repository.name for repository in self.lock.repositories]
        return self.origin(f"repositories[{names.index(name)}].{key}" if name in names else "repositories")

    def package_origin(self, sha256: str, key: str = "sha256") -> Origin | None:
        """Where a package stands: the first with this digest."""
        place = self._packages.get(sha256)
        return self.origin(f"{place}.{key}") if place else None

    @functools.cached_property
    def _packages(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for name, packages in self.lock.sets.items():
            for number, transaction in enumerate(packages.transactions):
                for index, package in enumerate(transaction.packages):
                    found.setdefault(package.sha256, f"sets.{name}.transactions[{number}].packages[{index}]")
        return found


def read_lock(path: Path) -> LockFile:
    """Raises what `parse_lock` raises, `no-such-lock`, and MetadataError `bad-lock` for a file that cannot be read."""
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise MetadataError("no-such-lock", f"there is no lock {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise MetadataError("bad-lock", f"{path} cannot be used", cause=str(error)) from error
    lock, data = _parse(text, str(path), path)
    return LockFile(path, lock, data)


def parse_lock(text: str, what: str = "the lock") -> Lock:
    """Raises MetadataError `bad-lock`, and `lock-version` for a lock of another version of this program."""
    return _parse(text, what, None)[0]


def _parse(text: str, what: str, path: Path | None) -> tuple[Lock, Mapping[str, Any]]:
    data: dict[str, Any] = {}
    try:
        data = _json(text)
        version = data.get("lockVersion")
        if version != LOCK_VERSION:
            raise MetadataError(
                "lock-version",
                f"{what} is of another version",
                cause=f"lockVersion {version!r:.20} instead of {LOCK_VERSION}",
                hint="make it again with this version of the program: os-image-composer lock --update TEMPLATE",
            )
        rest = {key: value for key, value in data.items() if key not in ("lockVersion", SEAL)}
        lock = _record(rest, "", Lock, _LOCK)
        names = [repository.name for repository in lock.repositories]
        for number, repository in enumerate(data["repositories"]):
            if names.index(names[number]) != number:
                raise _WrongError(f"the repository {names[number]} is there twice", f"repositories[{number}].name")
            _check_seal(repository, f"repositories[{number}]")
        for name, packages in lock.sets.items():
            _check_set(lock, name, packages, data)
        _check_seal(data, "")
        _check_form(text, data)
    except _WrongError as error:
        line = error.line if error.line is not None else line_of(data, error.place)
        raise MetadataError(
            "bad-lock",
            f"{what} cannot be used",
            cause=str(error),
            hint="a lock is written by this program and not by hand; after a merge of two, or an edit, make it anew: "
            "os-image-composer lock --update TEMPLATE",
            origin=Origin(str(path), line, 1) if path is not None else None,
        ) from None
    return lock, data


def _check_seal(value: Mapping[str, Any], place: str) -> None:
    if value.get(SEAL) != seal_of(value):
        what = f"{place} was changed" if place else "it was changed"
        raise _WrongError(f"{what} after it was written: its seal does not fit", f"{place}.{SEAL}".lstrip("."))


def _check_form(text: str, data: Mapping[str, Any]) -> None:
    written = text_of(data)
    if text != written:
        pairs = zip(text.split("\n"), written.split("\n"), strict=False)
        line = next((number for number, (one, other) in enumerate(pairs, 1) if one != other), 1)
        raise _WrongError("it was formatted by another program", line=line)


def _check_set(lock: Lock, name: str, packages: PackageSet, data: Mapping[str, Any]) -> None:
    """Everything is from a known repository, there once, sealed, needed by something, and has what it needs."""
    known = {repository.name for repository in lock.repositories}
    needs = needs_of(packages.packages())
    asked = {text: met for group in packages.asked for text, met in group.packages.items()}
    for number, group in enumerate(packages.asked):
        for text, met in group.packages.items():
            if met not in needs:
                place = f"sets.{name}.asked[{number}].packages"
                raise _WrongError(f"sets.{name}: {met}, which is to meet the request for {text}, is missing", place)
    reached = reachable(needs, {*asked.values(), *packages.roots})
    seen: set[tuple[str, str]] = set()
    for number, transaction in enumerate(packages.transactions):
        for index, package in enumerate(transaction.packages):
            place = f"sets.{name}.transactions[{number}].packages[{index}]"
            if package.repository not in known:
                raise _WrongError(f"sets.{name}: {package.name} is from a repository that is not there", place)
            if (package.name, package.arch) in seen:
                raise _WrongError(f"sets.{name}: {package.name} is there twice", place)
            seen.add((package.name, package.arch))
            missing = next((other for other in package.depends if other not in needs), None)
            if missing is not None:
                raise _WrongError(f"sets.{name}: {missing}, which {package.name} needs, is missing", f"{place}.depends")
            if package.name not in reached:
                raise _WrongError(f"sets.{name}: nothing asks for {package.name} or needs it", f"{place}.name")
            _check_seal(data["sets"][name]["transactions"][number]["packages"][index], place)
    for root in packages.roots:
        if root not in needs:
            raise _WrongError(f"sets.{name}: {root}, which every system has, is missing", f"sets.{name}.roots")


def _json(text: str) -> dict[str, Any]:
    if len(text) > MAX_LOCK:
        raise _WrongError(f"it is longer than {MAX_LOCK} characters")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise _WrongError("a key stands twice in an object")
        return found

    def no_constant(name: str) -> Any:
        raise _WrongError(f"{name} is not a number")

    try:
        data = json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        raise _WrongError(f"it is not JSON: {error.msg}", line=error.lineno) from None
    except (ValueError, RecursionError) as error:
        raise _WrongError(f"it is not JSON: {str(error)[:200]}") from None
    if not isinstance(data, dict):
        raise _WrongError("it is not an object")
    return data


# -- readers: each takes a value and its place -------------------------------------------------------------------


def _text(pattern: str, kind: str, most: int = 300) -> Reader[str]:
    expression = re.compile(pattern)

    def read(value: Any, place: str) -> str:
        if not isinstance(value, str) or len(value) > most or not expression.fullmatch(value):
            raise _WrongError(f"{place}: {value!r:.80} is not {kind}", place)
        return value

    return read


def _number(most: int) -> Reader[int]:
    def read(value: Any, place: str) -> int:
        if type(value) is not int or not 0 <= value <= most:
            raise _WrongError(f"{place}: {value!r:.40} is not a whole number from 0 to {most}", place)
        return value

    return read


def _time(value: Any, place: str) -> int:
    try:
        when = datetime.strptime(value, TIME).replace(tzinfo=UTC)
        if when.strftime(TIME) == value and 0 <= when.timestamp() <= _LAST_TIME:
            return int(when.timestamp())
    except (TypeError, ValueError):
        pass
    raise _WrongError(f"{place}: {value!r:.40} is not a time such as 2026-01-31T12:00:00Z", place)


def _requests(value: Any, place: str) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise _WrongError(f"{place}: not an object", place)
    return {_LINE(text, place): _NAME(name, f"{place}.{text}") for text, name in value.items()}


def _priority(value: Any, place: str) -> int:
    if type(value) is not int or not -32768 <= value <= 32767:
        raise _WrongError(f"{place}: {value!r:.40} is not a priority", place)
    return value


def _truth(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise _WrongError(f"{place}: {value!r:.40} is neither true nor false", place)
    return value


def _or_none(reader: Reader[T]) -> Reader[T | None]:
    return lambda value, place: None if value is None else reader(value, place)


def _list(reader: Reader[T]) -> Reader[tuple[T, ...]]:
    def read(value: Any, place: str) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise _WrongError(f"{place}: not a list", place)
        return tuple(reader(item, f"{place}[{number}]") for number, item in enumerate(value))

    return read


def _by_name(reader: Reader[T]) -> Reader[Mapping[str, T]]:
    def read(value: Any, place: str) -> Mapping[str, T]:
        if not isinstance(value, dict):
            raise _WrongError(f"{place}: not an object", place)
        return {_WORD(name, place): reader(item, f"{place}.{name}") for name, item in value.items()}

    return read


def _record(value: Any, place: str, kind: type[T], readers: Mapping[str, Reader[Any]]) -> T:
    if not isinstance(value, dict):
        raise _WrongError(f"{place}: not an object", place)
    names = {key_of(field.name): field.name for field in fields(kind)}  # type: ignore[arg-type]
    known = {*names, SEAL} if kind in (LockedPackage, LockedRepository) else set(names)
    odd = sorted(set(value) ^ known)
    if odd:
        found = odd[0] in value
        raise _WrongError(
            f"{place or 'the lock'}: {odd[0]!r:.40} {'is not known' if found else 'is missing'}",
            f"{place}.{odd[0]}".lstrip(".") if found else place,
        )
    return kind(**{name: readers[name](value[key], f"{place}.{key}" if place else key) for key, name in names.items()})


def _of(kind: type[T], readers: Mapping[str, Reader[Any]]) -> Reader[T]:
    return lambda value, place: _record(value, place, kind, readers)


def _url(value: Any, place: str) -> str:
    problem = "is not text" if not isinstance(value, str) else mirror_problem(value)
    if problem:
        raise _WrongError(f"{place}: the URL {problem}", place)
    return str(value)


def _uuid(value: Any, place: str) -> str:
    try:
        if isinstance(value, str) and str(uuid.UUID(value)) == value:
            return value
    except ValueError:
        pass
    raise _WrongError(f"{place}: {value!r:.60} is not a UUID", place)


_WORD = _text(r"[A-Za-z0-9][A-Za-z0-9._+-]*", "a plain word", 100)
_PATH = r"(?!/)(?!(?:.*/)?\.\.(?:/|$))[\x21-\x7e]+"
_SHA256 = _text(r"[0-9a-f]{64}", "a SHA-256 digest")
_NAME = _text(r"[A-Za-z0-9_][A-Za-z0-9+._-]*", "a package name")
_LINE = _text("[^\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]*", "a line of text", 2000)

_PACKAGE: Mapping[str, Reader[Any]] = {
    "name": _NAME,
    "version": _text(r"[A-Za-z0-9][A-Za-z0-9.+:~^_-]*", "a version"),
    "arch": _text(r"[a-z0-9][a-z0-9_-]*", "an architecture", 40),
    "repository": _text(_PATH, "a repository"),
    "path": _text(_PATH, "a path below a repository", 2000),
    "size": _number(_MOST_BYTES),
    "sha256": _SHA256,
    "installed_size": _number(_MOST_BYTES),
    "essential": _truth,
    "source": _LINE,
    "depends": _list(_NAME),
}
_REPOSITORY: Mapping[str, Reader[Any]] = {
    "name": _text(_PATH, "a repository's name"),
    "url": _url,
    "suite": _text(f"(?:{_PATH})?", "a suite"),  # empty where a repository is not divided into suites
    "date": _time,
    "valid_until": _or_none(_time),
    "metadata_sha256": _SHA256,
    "signers": _list(_text(r"[0-9a-f]{16,64}", "a fingerprint")),
    "family": _text(r"[a-z]{0,20}", "a package family"),
    "components": _list(_text(_PATH, "a component", 100)),
    "priority": _or_none(_priority),
}
_TRANSACTION: Mapping[str, Reader[Any]] = {"label": _LINE, "packages": _list(_of(LockedPackage, _PACKAGE))}
_SET: Mapping[str, Reader[Any]] = {
    "transactions": _list(_of(Transaction, _TRANSACTION)),
    "asked": _list(_of(AskedGroup, {"label": _LINE, "packages": _requests})),
    "roots": _list(_NAME),
    "weak_dependencies": _truth,
}
_LOCK: Mapping[str, Reader[Any]] = {
    "os": _WORD,
    "dist": _WORD,
    "arch": _WORD,
    "seed": _uuid,
    "source_date_epoch": _number(_LAST_TIME),
    "repositories": _list(_of(LockedRepository, _REPOSITORY)),
    "sets": _by_name(_of(PackageSet, _SET)),
}
