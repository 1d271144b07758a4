"""How the packages and the bills of materials of two root filesystems differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from os_image_composer.formats.filesystem import FileSystem
from os_image_composer.formats.window import FormatError
from os_image_composer.report.differences import Area, Differences
from os_image_composer.report.image_file import Root
from os_image_composer.report.root_filesystem import read_root, sbom_content

# Where the packages of a bill of materials are, by format: SPDX 2.3 §7, CycloneDX 1.6 "components".
_LISTS = {"packages": "versionInfo", "components": "version"}


def compare_roots(a: FileSystem, b: FileSystem, found: Differences) -> None:
    """Adds what differs. What cannot be read is told by the comparison of files."""
    ours, theirs = read_root(a, 0, []), read_root(b, 0, [])
    _compare_versions(Area.PACKAGE, "", _installed(ours), _installed(theirs), found)
    bills = {sbom.path: sbom.sha256 for sbom in ours.sboms}, {sbom.path: sbom.sha256 for sbom in theirs.sboms}
    for path in sorted(bills[0].keys() | bills[1].keys()):
        one, other = bills[0].get(path), bills[1].get(path)
        if one is None or other is None:
            found.add(Area.SBOM, path, "missing", *(None if digest is None else "there" for digest in (one, other)))
        elif one != other:
            _compare_bills(path, _read(a, path), _read(b, path), found)


def _installed(root: Root) -> dict[str, str]:
    return {f"{package.name}:{package.arch}": package.version for package in root.packages}


def _compare_versions(area: Area, prefix: str, a: Mapping[str, str], b: Mapping[str, str], found: Differences) -> None:
    for name in sorted(a.keys() | b.keys()):
        one, other = a.get(name), b.get(name)
        if one != other:
            found.add(area, prefix + name, "missing" if None in (one, other) else "version", one, other)


def _compare_bills(path: str, a: dict[str, Any], b: dict[str, Any], found: Differences) -> None:
    before = found.count
    _compare_versions(Area.SBOM, f"{path}: ", _listed(a), _listed(b), found)
    if found.count == before:
        fields = sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))
        said = f"other values of {', '.join(fields)}" if fields else "other bytes"
        found.add(Area.SBOM, path, "content", said, said)


def _read(filesystem: FileSystem, path: str) -> dict[str, Any]:
    """A document; an empty one where it cannot be understood."""
    try:
        value = json.loads(sbom_content(filesystem, path))
    except (ValueError, RecursionError, FormatError):
        return {}
    return value if isinstance(value, dict) else {}


def _listed(document: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, version in _LISTS.items():
        entries = document.get(key)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and isinstance(entry.get("name"), str):
                found[entry["name"]] = str(entry.get(version, ""))
    return found
