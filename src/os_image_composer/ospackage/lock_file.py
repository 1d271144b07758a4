"""Reading a lock back. A lock may come from somebody else, and what it says becomes file names, URLs and arguments:
each value must be what `dump_lock` can have written, and nothing beside these may be there.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from os_image_composer.config.settings import mirror_problem
from os_image_composer.errors import MetadataError
from os_image_composer.ospackage.lock import (
    LOCK_VERSION,
    Lock,
    LockedPackage,
    LockedRepository,
    PackageSet,
    Transaction,
)

MAX_LOCK = 64 << 20  # characters; a lock of 1,000 packages has 0.5 MB
_MOST_BYTES = 1 << 40
_LAST_TIME = 1 << 40  # seconds since the epoch; the year 36812

T = TypeVar("T")
Reader = Callable[[Any, str], T]


class _WrongError(Exception):
    """A place in the lock and what is wrong there; never leaves this file."""


def parse_lock(text: str, what: str = "the lock") -> Lock:
    """Raises MetadataError `bad-lock`, and `lock-version` for a lock of another version of this program."""
    try:
        data = _json(text)
        version = data.pop("lockVersion", None)
        if version != LOCK_VERSION:
            raise MetadataError(
                "lock-version",
                f"{what} is of another version",
                cause=f"lockVersion {version!r:.20} instead of {LOCK_VERSION}",
                hint="resolve again with this version of the program",
            )
        lock = _record(data, "", Lock, _LOCK)
        _check_repositories(lock)
        return lock
    except _WrongError as error:
        raise MetadataError(
            "bad-lock",
            f"{what} cannot be used",
            cause=str(error),
            hint="a lock is written by this program and not by hand: resolve again",
        ) from None


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
    except (ValueError, RecursionError) as error:
        raise _WrongError(f"it is not JSON: {str(error)[:200]}") from None
    if not isinstance(data, dict):
        raise _WrongError("it is not an object")
    return data


def _check_repositories(lock: Lock) -> None:
    known = {repository.name for repository in lock.repositories}
    for name, packages in lock.sets.items():
        seen: set[tuple[str, str]] = set()
        for package in packages.packages():
            if package.repository not in known:
                raise _WrongError(f"sets.{name}: {package.name} is from a repository that is not there")
            if (package.name, package.arch) in seen:
                raise _WrongError(f"sets.{name}: {package.name} is there twice")
            seen.add((package.name, package.arch))


# -- readers: each takes a value and its place -------------------------------------------------------------------


def _text(pattern: str, kind: str, most: int = 300) -> Reader[str]:
    expression = re.compile(pattern)

    def read(value: Any, place: str) -> str:
        if not isinstance(value, str) or len(value) > most or not expression.fullmatch(value):
            raise _WrongError(f"{place}: {value!r:.80} is not {kind}")
        return value

    return read


def _number(most: int) -> Reader[int]:
    def read(value: Any, place: str) -> int:
        if type(value) is not int or not 0 <= value <= most:
            raise _WrongError(f"{place}: {value!r:.40} is not a whole number from 0 to {most}")
        return value

    return read


def _truth(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise _WrongError(f"{place}: {value!r:.40} is neither true nor false")
    return value


def _or_none(reader: Reader[T]) -> Reader[T | None]:
    return lambda value, place: None if value is None else reader(value, place)


def _list(reader: Reader[T]) -> Reader[tuple[T, ...]]:
    def read(value: Any, place: str) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise _WrongError(f"{place}: not a list")
        return tuple(reader(item, f"{place}[{number}]") for number, item in enumerate(value))

    return read


def _by_name(reader: Reader[T]) -> Reader[Mapping[str, T]]:
    def read(value: Any, place: str) -> Mapping[str, T]:
        if not isinstance(value, dict):
            raise _WrongError(f"{place}: not an object")
        return {_WORD(name, place): reader(item, f"{place}.{name}") for name, item in value.items()}

    return read


def _record(value: Any, place: str, kind: type[T], readers: Mapping[str, Reader[Any]]) -> T:
    if not isinstance(value, dict):
        raise _WrongError(f"{place}: not an object")
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    odd = sorted(set(value) ^ set(known))
    if odd:
        raise _WrongError(
            f"{place or 'the lock'}: {odd[0]!r:.40} {'is missing' if odd[0] in known else 'is not known'}"
        )
    return kind(**{name: readers[name](value[name], f"{place}.{name}" if place else name) for name in known})


def _of(kind: type[T], readers: Mapping[str, Reader[Any]]) -> Reader[T]:
    return lambda value, place: _record(value, place, kind, readers)


def _url(value: Any, place: str) -> str:
    problem = "is not text" if not isinstance(value, str) else mirror_problem(value)
    if problem:
        raise _WrongError(f"{place}: the URL {problem}")
    return str(value)


def _uuid(value: Any, place: str) -> str:
    try:
        if isinstance(value, str) and str(uuid.UUID(value)) == value:
            return value
    except ValueError:
        pass
    raise _WrongError(f"{place}: {value!r:.60} is not a UUID")


_WORD = _text(r"[A-Za-z0-9][A-Za-z0-9._+-]*", "a plain word", 100)
_PATH = r"(?!/)(?!(?:.*/)?\.\.(?:/|$))[\x21-\x7e]+"
_SHA256 = _text(r"[0-9a-f]{64}", "a SHA-256 digest")
_NAME = _text(r"[A-Za-z0-9][A-Za-z0-9+._-]*", "a package name")
_LINE = _text(r"[^\x00-\x1f\x7f-\x9f]*", "a line of text", 2000)

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
    "date": _number(_LAST_TIME),
    "valid_until": _or_none(_number(_LAST_TIME)),
    "metadata_sha256": _SHA256,
    "signers": _list(_text(r"[0-9a-f]{16,64}", "a fingerprint")),
}
_TRANSACTION: Mapping[str, Reader[Any]] = {"label": _LINE, "packages": _list(_of(LockedPackage, _PACKAGE))}
_SET: Mapping[str, Reader[Any]] = {"transactions": _list(_of(Transaction, _TRANSACTION))}
_LOCK: Mapping[str, Reader[Any]] = {
    "os": _WORD,
    "dist": _WORD,
    "arch": _WORD,
    "seed": _uuid,
    "source_date_epoch": _number(_LAST_TIME),
    "repositories": _list(_of(LockedRepository, _REPOSITORY)),
    "sets": _by_name(_of(PackageSet, _SET)),
}
