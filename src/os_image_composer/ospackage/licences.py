"""SPDX's names of licences, and names for what is not on its list; the same for every package family."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from license_expression import Licensing


def spdx_identifier(name: str) -> str | None:
    """The identifier of SPDX's list that is this name but for upper and lower case. Its deprecated ones count, names of
    exceptions do not: they are no licences."""
    return _identifiers().get(name.casefold())


def licence_reference(name: str, text: str) -> str:
    """`LicenseRef-…` (SPDX 2.3, §10.1) of a licence by its own name and text; the same for the same two."""
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", name.removeprefix("LicenseRef-")).strip("-")[:60] or "unnamed"
    digest = hashlib.sha256(f"{name}\n{text}".encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"LicenseRef-{slug}-{digest}"


def valid_expression(text: str) -> str | None:
    """`text` as SPDX writes it where it is an expression of SPDX's names (SPDX 2.3, Annex D), else None."""
    from license_expression import ExpressionError

    try:
        parsed = _licensing().parse(text, validate=True, strict=True)
    except (ExpressionError, AttributeError, TypeError):
        return None
    return str(parsed) if parsed is not None else None


@cache
def _identifiers() -> Mapping[str, str]:
    symbols = _licensing().known_symbols
    return {
        key.casefold(): key
        for key, symbol in symbols.items()
        if not symbol.is_exception and not key.startswith("LicenseRef-")
    }


@cache
def _licensing() -> Licensing:
    # Here, as reading the list takes a third of a second and few commands need it.
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()
