"""What single words of a template may be: names, paths, kernel command lines.

Each rule takes the text and gives it back, or raises the error that becomes a finding. A message never holds
the text of a secret.
"""

from __future__ import annotations

import datetime
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic_core import PydanticCustomError

from os_image_composer.config.nearest import allowed_values
from os_image_composer.config.sizes import MIB, parse_size

__all__ = [
    "Choice",
    "NotBuilt",
    "Pattern",
    "Rule",
    "WholeNumber",
    "choice",
    "date",
    "not_built",
    "pattern",
    "seconds",
    "whole_number",
    "wrong",
]

Value = TypeVar("Value")
Rule = Callable[[str], str]

HOSTNAME_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_DATE = re.compile(r"20\d\d-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?")
HOSTNAME_LENGTH = 64  # HOST_NAME_MAX of Linux; RFC 1123 §2.1 allows 255
# A bracket alone is the name of a program (POSIX, test).
GLOB = re.compile(r"[*?]|\[[^/]+\]")
# What each package family makes of it is the family's own: names, versions, architectures, what is provided, files.
PACKAGE = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9+_.:~^()*?\[\]-]*(=[A-Za-z0-9.+:~^-]+|/[A-Za-z0-9][A-Za-z0-9.-]*)?"
    r"|(/[A-Za-z0-9+_.:~^@%*?\[\]-]+)+"
)
# How crypt(5) marks its methods. MD5 ($1$, $apr1$) is left out on purpose: it is refused.
HASH_PREFIX = re.compile(r"\$(y|gy|7|2a|2b|2y|6|5)\$")
WEAK_HASH_PREFIX = re.compile(r"\$(1|apr1|md5)[$,]")
# What the build says of the root partition and of its seal (kernel-command-line(7)).
OF_THE_BUILD = ("root=", "roothash=", "systemd.verity", "rd.systemd.verity")
HASH_TEXT = re.compile(r"\$[A-Za-z0-9]+\$[!-9;-~]{20,}")  # crypt(5): printable ASCII without ':'


def wrong(reference: str, message: str, hint: str | None = None, at: str | None = None) -> PydanticCustomError:
    """An error that becomes the finding `reference`; `at` names a key below the value (`.` the key itself)."""
    return PydanticCustomError(reference, "{message}", {"message": message, "hint": hint, "at": at})


@dataclass(frozen=True)
class NotBuilt(Generic[Value]):
    """Takes only what `asks_nothing`: the key is known, and this version does not carry it out."""

    asks_nothing: Callable[[Value], bool]

    def __call__(self, value: Value) -> Value:
        if self.asks_nothing(value):
            return value
        message = "is part of the template language but is not built yet"
        raise wrong("not-built-yet", message, "remove it", at=".")


@dataclass(frozen=True)
class Choice:
    """Takes the words in `built`; those in `known` are for a later version."""

    built: tuple[str, ...]
    known: tuple[str, ...] = ()

    def __call__(self, value: str) -> str:
        if value in self.known:
            hint = "use " + " or ".join(self.built) if self.built else "remove it"
            raise wrong("not-built-yet", f"'{value}' is known but is not built yet", hint)
        if value not in self.built:
            raise wrong("wrong-value", f"cannot be '{value}'", allowed_values(value, self.built or self.known))
        return value


@dataclass(frozen=True)
class Pattern:
    """Takes what matches all of `expression`, which `description` tells in words."""

    expression: str
    description: str

    def __call__(self, value: str) -> str:
        if not re.fullmatch(self.expression, value):
            raise wrong("wrong-value", f"cannot be '{value}'", self.description)
        return value


@dataclass(frozen=True)
class WholeNumber:
    """Takes a number from `least` to `most`."""

    least: int
    most: int

    def __call__(self, value: int) -> int:
        if not self.least <= value <= self.most:
            raise wrong("wrong-value", f"cannot be {value}", f"{self.least} to {self.most}")
        return value


def whole_number(least: int, most: int) -> WholeNumber:
    """A rule that takes a number from `least` to `most`."""
    return WholeNumber(least, most)


def not_built(asks_nothing: Callable[[Value], bool] = lambda value: False) -> NotBuilt[Value]:
    """A rule for a key that the language knows and this version does not carry out."""
    return NotBuilt(asks_nothing)


def choice(built: tuple[str, ...], known: tuple[str, ...] = ()) -> Choice:
    """A rule that takes the words in `built`; those in `known` are for a later version."""
    return Choice(built, known)


def pattern(expression: str, description: str) -> Pattern:
    """A rule that takes what matches all of `expression`."""
    return Pattern(expression, description)


def date(value: str) -> str:
    """A day of this century, or a second of one, by UTC (RFC 3339 §5.6)."""
    try:
        known = bool(_DATE.fullmatch(value)) and seconds(value) > 0
    except ValueError:  # the 31st of a month that has none
        known = False
    if not known:
        hint = 'a date, "2026-11-28", or a second by UTC, "2026-11-28T18:00:00Z"'
        raise wrong("wrong-value", f"cannot be '{value}'", hint)
    return value


def seconds(value: str) -> int:
    """Of a date that was checked: seconds since the epoch."""
    return int(datetime.datetime.fromisoformat(value).replace(tzinfo=datetime.UTC).timestamp())


def hostname(value: str) -> str:
    """RFC 1123 §2.1: labels of letters, digits and inner hyphens, of 63 characters at most."""
    if len(value) > HOSTNAME_LENGTH:
        raise wrong("wrong-value", f"a host name has at most {HOSTNAME_LENGTH} characters")
    if not all(HOSTNAME_LABEL.fullmatch(label) for label in value.split(".")):
        hint = "letters, digits and hyphens, in parts divided by dots, no part beginning or ending with '-'"
        raise wrong("wrong-value", f"'{value}' is not a host name", hint)
    return value


def package(value: str) -> str:
    if not PACKAGE.fullmatch(value):
        hint = "a letter or digit, then letters, digits and + - . _ : ~ ^ ( ), and =VERSION or /SUITE to pin one"
        raise wrong("wrong-value", f"'{value}' is not a package name", hint)
    if GLOB.search(value):
        raise wrong("not-built-yet", f"the pattern '{value}' is not built yet", "name each package")
    return value


def priority(value: int) -> int:
    """A pin priority; 0 has no meaning that package managers agree on."""
    if value == 0 or not -9999 <= value <= 9999:
        hint = "1 to 9999, 500 as for the distribution's other suites, or below 0 to take nothing"
        raise wrong("wrong-value", f"cannot be {value}", hint)
    return value


def artifact_type(value: str) -> str:
    if value == "directory":
        message = (
            "cannot be 'directory': a tree of the caller's own has lost the owners of its files, and one that belongs "
            "to subordinate ids cannot be read or removed by the caller"
        )
        raise wrong("wrong-value", message, "write tar, of which docs/output-formats.md makes a folder in three ways")
    return value


def single_line(value: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise wrong("wrong-value", "cannot hold line breaks or control characters")
    return value


def command(value: str) -> str:
    if not value.strip():
        raise wrong("wrong-value", "is empty", "give a command or remove it")
    if "\0" in value:
        raise wrong("wrong-value", "cannot hold a NUL character")
    return value


def kernel_command_line(value: str) -> str:
    single_line(value)
    for token in value.split():
        if token.startswith(OF_THE_BUILD):
            message = f"cannot hold '{token}': the root partition's address is set by the build"
            raise wrong("wrong-value", message, f"remove '{token}'")
    return value


def module_names(value: str) -> str:
    for name in value.split():
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise wrong("wrong-value", f"'{name}' is not a kernel module's name", "names divided by spaces")
    return value


def image_path(value: str) -> str:
    """An absolute, normalised path of a file in the image."""
    single_line(value)
    if not value.startswith("/"):
        raise wrong("wrong-value", f"'{value}' is not an absolute path", f"write '/{value.lstrip('./')}'")
    if ".." in value.split("/"):
        raise wrong("wrong-value", f"'{value}' cannot hold '..'")
    normal = posixpath.normpath("/" + value.lstrip("/"))
    if value != normal:
        raise wrong("wrong-value", f"'{value}' is not in its shortest form", f"write '{normal}'")
    return value


def field_path(value: str) -> str:
    """A path that stands in a table of the image: passwd(5) divides its fields by ':', fstab(5) by blanks."""
    if any(character in ": \t#" for character in value):
        raise wrong("wrong-value", f"'{value}' cannot hold ':', '#' or blanks")
    return image_path(value)


def mount_point(value: str | None) -> str | None:
    """As fstab(5) has it: a path, or `none` for a file system that is mounted nowhere."""
    return None if value is None or value == "none" else field_path(value)


def program(value: str) -> str:
    """The path of a program, as passwd(5) names a login shell."""
    if value and "/" not in value:
        raise wrong("wrong-value", f"'{value}' is not an absolute path", f"such as '/bin/{value}'")
    return image_file(field_path(value))


def image_file(value: str) -> str:
    if image_path(value) == "/":
        raise wrong("wrong-value", "'/' is not a file")
    return value


def size(value: object) -> object:
    """`4GiB` as bytes; what is neither text nor a number is left for the type check."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return value
    try:
        found = parse_size(value)
    except ValueError as error:
        raise wrong("wrong-size", str(error)) from error
    text = str(value).strip()
    if 0 < found < MIB and text.isdigit():
        raise wrong("wrong-size", f"'{text}' is {text} bytes", f"write a unit: {text}MiB or {text}GiB")
    return found


def partition_end(value: object) -> object:
    """As `size`, and 0 means the rest of the disk."""
    end = size(value)
    return None if end == 0 else end


def is_hash(password: str) -> bool:
    """Whether a password is written as crypt(5) text rather than plain."""
    return bool(HASH_PREFIX.match(password))


def password(value: str) -> str:
    if not value:
        hint = "leave the key out to lock the account's password"
        raise wrong("empty-password", "is empty: anybody could log in", hint)
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise wrong("wrong-value", "cannot hold line breaks or control characters")
    if WEAK_HASH_PREFIX.match(value):
        raise wrong("weak-hash", "is hashed with MD5, which is not safe", "use yescrypt or SHA-512")
    if is_hash(value) and not HASH_TEXT.fullmatch(value):
        raise wrong("wrong-value", "begins like hashed text but is not whole", "see crypt(5)")
    return value
