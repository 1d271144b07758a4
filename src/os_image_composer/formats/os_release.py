"""os-release(5): `NAME=value` lines, values quoted as in a shell."""

from __future__ import annotations

import shlex


def parse_os_release(content: bytes) -> dict[str, str]:
    """The fields by name; lines that are none are left out."""
    fields: dict[str, str] = {}
    for line in content.decode("utf-8", "replace").splitlines():
        name, equals, value = line.strip().partition("=")
        if not equals or not name.isidentifier():
            continue
        try:
            fields[name] = "".join(shlex.split(value))
        except ValueError:
            fields[name] = value
    return fields
