"""What the build process asks for, and how it is answered.

Standard input carries one line of JSON (`Request`), then the bytes that a verb needs. The report pipe carries
lines of JSON, each followed by as many bytes as its `size` says. Numbers that stand for files are indexes into
`sources`.
"""

from __future__ import annotations

import json
import os
from typing import Any, BinaryIO, NotRequired, TypedDict


class Ids(TypedDict):
    """Ranges as (inside, outside, count); `newuidmap` and `newgidmap` are empty when the maps are written directly."""

    uid: list[list[int]]
    gid: list[list[int]]
    newuidmap: str
    newgidmap: str


class TreeSpec(TypedDict):
    lower: list[int]
    upper: int | None
    throwaway: bool


class MountSpec(TypedDict):
    kind: str  # bind | tree
    target: str
    source: NotRequired[int]
    directory: NotRequired[bool]
    read_only: NotRequired[bool]
    tree: NotRequired[TreeSpec]
    api: NotRequired[bool]


class Request(TypedDict):
    verb: str
    ids: Ids
    sources: list[str]
    scratch: int | None
    root: TreeSpec | None
    api: bool
    mounts: list[MountSpec]
    devices: dict[str, int]
    network: bool
    argv: list[str]
    env: dict[str, str]
    cwd: str
    stdin_size: int
    options: dict[str, Any]


class Refused(Exception):  # noqa: N818
    """What cannot be done, as the build process will say it."""

    def __init__(self, reference: str, message: str, cause: str | None = None) -> None:
        super().__init__(message)
        self.reference = reference
        self.message = message
        self.cause = cause


class Channel:
    """Both directions to the build process: `data` after the request, `report` back."""

    def __init__(self, data: BinaryIO, report: int) -> None:
        self.data = data
        self.report = report

    def tell(self, message: dict[str, Any], payload: bytes | memoryview = b"") -> None:
        if payload:
            message = {**message, "size": len(payload)}
        self._write(json.dumps(message).encode() + b"\n")
        self._write(payload)

    def refuse(self, error: BaseException) -> None:
        if isinstance(error, Refused):
            about = {"reference": error.reference, "message": error.message, "cause": error.cause}
        elif isinstance(error, OSError):
            where = f": {error.filename!r}" if error.filename is not None else ""
            about = {
                "reference": "sandbox-failed",
                "message": "the sandbox could not do its work",
                "cause": f"{error.strerror or error}{where}",
            }
        else:
            about = {
                "reference": "sandbox-failed",
                "message": "the sandbox could not do its work",
                "cause": f"{type(error).__name__}: {error}",
            }
        self.tell({"error": about})

    def receive(self, size: int) -> bytes:
        data = self.data.read(size)
        if len(data) != size:
            raise Refused("stream-ended", "the build process stopped sending")
        return data

    def _write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.report, view) :]
