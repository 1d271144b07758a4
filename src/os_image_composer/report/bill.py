"""The bill of materials of an image: what its two renderings (SPDX, CycloneDX) have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

TOOL = "os-image-composer"


@dataclass(frozen=True)
class Supplier:
    name: str
    email: str | None

    @property
    def is_person(self) -> bool:
        """As far as the name tells: a list of maintainers calls itself one."""
        return not _SEVERAL.search(self.name)


_SEVERAL = re.compile(r"(?i)\b(teams?|maintainers?|developers?|groups?|project|packagers?|packaging|list|authors)\b")
_ADDRESS = re.compile(r"\s*\"?(?P<name>[^<\"]*?)\"?\s*(?:<(?P<email>[^<>\s]+)>)?\s*,?\s*")


def parse_supplier(maintainer: str) -> Supplier | None:
    """`Name <address>`; None where there is no name."""
    match = _ADDRESS.fullmatch(maintainer)
    if match is None:
        return Supplier(maintainer.strip(), None) if maintainer.strip() else None
    name = match["name"].strip() or (match["email"] or "")
    return Supplier(name, match["email"]) if name else None


@dataclass(frozen=True)
class Component:
    """An installed package. `sha256`, `path` (below a repository) and `url` are of its file, None where it did not come
    from the lock; `url` also where its vendor names no place of its own. `depends` are purls of other components;
    `licence` is an SPDX expression, None where no machine can tell."""

    name: str
    version: str
    arch: str
    purl: str
    source: str
    source_version: str
    supplier: Supplier | None
    homepage: str | None
    licence: str | None
    sha256: str | None
    path: str | None
    url: str | None
    depends: tuple[str, ...]


@dataclass(frozen=True)
class Bill:
    """`uuid` names this document, `created` is seconds since the epoch. `components` are sorted by purl;
    `licence_texts` are by `LicenseRef-…`."""

    image: str
    version: str
    arch: str
    os: str
    uuid: str
    created: int
    components: tuple[Component, ...]
    licence_texts: Mapping[str, str]

    @property
    def timestamp(self) -> str:
        """RFC 3339, as both formats want it."""
        return datetime.fromtimestamp(self.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
