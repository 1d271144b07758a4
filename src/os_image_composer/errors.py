"""What every failure that a user can meet looks like.

The tree (one class a field of work, so that callers catch by field and never by text):

    ComposerError
    ├── UsageError          wrong command line or settings            exit 2
    ├── TemplateError       a template that is wrong                  exit 2
    ├── TrustError          something is not signed by whom it must be, or its bytes differ
    ├── MetadataError       repository metadata that cannot be read or is out of date
    ├── FetchError          the network or the mirror
    ├── SolveError          packages that cannot be had together
    ├── SandboxError        the host cannot isolate a program
    ├── StepError           a step of the build failed
    ├── SigningError        a key, a certificate, or what was to be signed with it
    ├── StoreError          the cache is damaged or cannot be written
    └── BootError           an image could not be booted

An error is a value: a kebab-case reference that documentation and tests can name, what happened, where in
the user's files (when it is there), the cause, and the next thing to do. Printing it is the front end's work.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Origin:
    """A place in a file that somebody wrote: 1-based line and column, as editors count."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong in a file: where, what, and what to write instead. `key` names the template's key
    where only that is known, for who can tell its `origin`."""

    reference: str
    message: str
    origin: Origin | None = None
    hint: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        where = f"{self.origin}: " if self.origin else ""
        return f"{where}{self.message}" + (f" ({self.hint})" if self.hint else "")


class ComposerError(Exception):
    """Base of all expected failures. `detail` holds further lines, such as the end of a program's output; `key` names
    the template's key (`systemConfig.users[0]`) where only that is known, for who can tell its `origin`."""

    exit_code = 1

    def __init__(
        self,
        reference: str,
        message: str,
        *,
        cause: str | None = None,
        hint: str | None = None,
        origin: Origin | None = None,
        key: str | None = None,
        detail: tuple[str, ...] = (),
        findings: tuple[Finding, ...] = (),
    ) -> None:
        super().__init__(message)
        self.reference = reference
        self.message = message
        self.cause = cause
        self.hint = hint
        self.origin = origin
        self.key = key
        self.detail = detail
        self.findings = findings

    def __str__(self) -> str:
        where = f"{self.origin}: " if self.origin else ""
        cause = f": {self.cause}" if self.cause else ""
        return f"[{self.reference}] {where}{self.message}{cause}"


class UsageError(ComposerError):
    """The command line or a settings file is wrong."""

    exit_code = 2


class TemplateError(ComposerError):
    """A template is wrong; `findings` lists every place."""

    exit_code = 2


class TrustError(ComposerError):
    """A signature, a key or a checksum is not what was pinned."""


class MetadataError(ComposerError):
    """Repository metadata is malformed, oversized, expired or older than what was seen before."""


class FetchError(ComposerError):
    """A file could not be had from its mirror."""


class SolveError(ComposerError):
    """The requested packages do not exist or cannot be installed together."""


class SandboxError(ComposerError):
    """The host does not let an ordinary user isolate a program, or the sandbox itself failed."""


class StepError(ComposerError):
    """A step of the build failed; `detail` is the end of what it printed."""


class SigningError(ComposerError):
    """A key or a certificate cannot be used, or something cannot be signed with it."""


class StoreError(ComposerError):
    """The content store cannot be used."""


class ImageError(ComposerError):
    """An image file cannot be read, or is none."""


class BootError(ComposerError):
    """An image could not be booted, or booted wrong."""
