"""How a failure looks on the terminal. The only place that prints one."""

from __future__ import annotations

import errno
import os
import re
import traceback
from collections.abc import Iterator
from pathlib import Path

from os_image_composer.errors import ComposerError, Finding, Origin

WIDTH = 120  # characters of a source line that are shown
LONGEST = 4096  # characters of a source line that is looked at: nobody reads a longer one, and looking takes long
# Anything that looks like the name of a secret, also misspelt, wherever it stands in the line; what follows it goes.
_SECRET = re.compile(r"(?i)([\"']?\b\w*(?:pas+w?o?r?d?|pwd|secret|token|hash)\w*[\"']?\s*[:=]\s*)\S.*$|\$\w{1,3}\$\S+")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def error_lines(error: ComposerError) -> Iterator[str]:
    """The failure as lines: what, where (with the line of the file and a caret), cause, detail, hint; what one of its
    findings says is said once."""
    yield f"error[{error.reference}]: {_printable(error.message)}"
    said = {text for f in error.findings for text in (f.message, f.hint)}
    if error.origin is not None and error.origin not in [f.origin for f in error.findings]:
        yield f"  --> {error.origin}"
        yield from excerpt(error.origin)
    for finding in error.findings:
        yield from finding_lines(finding)
    if error.cause and error.cause not in said:
        yield f"  cause: {_printable(error.cause)}"
    for line in error.detail:
        yield f"  | {_printable(line)}"
    if error.hint and error.hint not in said:
        yield f"  hint: {_printable(error.hint)}"


def finding_lines(finding: Finding) -> Iterator[str]:
    """One line that an editor can jump to, then the line of the file with a caret."""
    where = f"{finding.origin}: " if finding.origin else ""
    hint = f" ({finding.hint})" if finding.hint else ""
    yield f"{where}{_printable(finding.message)} [{finding.reference}]{_printable(hint)}"
    if finding.origin is not None:
        yield from excerpt(finding.origin)


def excerpt(origin: Origin) -> Iterator[str]:
    """The line that `origin` names with a caret under its column; nothing when the file cannot be read. The value
    of a key that names a secret is not shown."""
    try:
        with Path(origin.file).open(encoding="utf-8", errors="replace") as file:
            source = next((line for number, line in enumerate(file, 1) if number == origin.line), None)
    except OSError:
        return
    if source is None or len(source) > LONGEST:
        return
    source = _SECRET.sub(lambda match: f"{match[1] or ''}(hidden)", source.rstrip("\n"))
    column = max(origin.column - 1, 0)
    start = max(column - WIDTH // 2, 0) if len(source) > WIDTH else 0
    shown = _printable(source[start : start + WIDTH])
    pad = "".join(c if c == "\t" else " " for c in source[start:column])
    number = str(origin.line)
    yield f"{number:>6} | {shown}"
    yield f"{'':>6} | {pad}^"


def unexpected_lines(error: BaseException, debug: bool) -> Iterator[str]:
    """A failure that is a fault of this program: short, with the traceback only for those who ask."""
    summary = str(error).splitlines()
    yield f"error[internal]: {type(error).__name__}: {_printable(summary[0]) if summary else 'no message'}"
    if debug:
        yield from "".join(traceback.format_exception(error)).rstrip("\n").split("\n")
    yield "  cause: a fault in os-image-composer, or a host that it does not know"
    yield "  hint: " + (
        "report it with the traceback above" if debug else "run it again with --log-level debug and report what it says"
    )


def _printable(text: str) -> str:
    """Without what could move the cursor: text of templates and packages ends up here."""
    return _UNPRINTABLE.sub(lambda m: f"\\x{ord(m[0]):02x}", text)


def error_fields(error: ComposerError) -> dict[str, object]:
    """The `error` event (see progress)."""
    return {
        "reference": error.reference,
        "message": error.message,
        **_place(error.origin),
        "cause": error.cause,
        "hint": error.hint,
        "detail": list(error.detail),
        "findings": [finding_fields(finding) for finding in error.findings],
    }


def finding_fields(finding: Finding) -> dict[str, object]:
    return {
        "reference": finding.reference,
        "message": finding.message,
        **_place(finding.origin),
        "hint": finding.hint,
    }


def findings_of(error: ComposerError) -> tuple[Finding, ...]:
    """The places that are wrong; the error itself where it names no others."""
    cause = f": {error.cause}" if error.cause else ""
    return error.findings or (Finding(error.reference, error.message + cause, error.origin, error.hint),)


def _place(origin: Origin | None) -> dict[str, object]:
    return {
        "file": origin.file if origin else None,
        "line": origin.line if origin else None,
        "column": origin.column if origin else None,
    }


def as_composer_error(error: BaseException) -> ComposerError:
    """Any failure as what the user is told: what the host's files or devices refused, where no module had more to say
    about it; the user's own interruption; a fault of this program."""
    if isinstance(error, ComposerError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return ComposerError("interrupted", "interrupted")
    if isinstance(error, OSError) and (error.filename is not None or error.errno is not None):
        where = os.fsdecode(error.filename) if error.filename else "a file"
        hint = _HINTS.get(error.errno or 0)
        return ComposerError("host-refused", f"cannot use {where}", cause=error.strerror, hint=hint)
    summary = str(error).splitlines()
    return ComposerError("internal", f"{type(error).__name__}: {summary[0] if summary else 'no message'}")


_HINTS = {
    errno.ENOSPC: "free some disk space",
    errno.EROFS: "the filesystem is read-only: choose another folder with --cache-dir, --work-dir or --output",
    errno.EACCES: "see who owns it and who may write there",
    errno.EPERM: "see who owns it and who may write there",
}
