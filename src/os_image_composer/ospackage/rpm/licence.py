"""The License tag of a header as an SPDX expression.

Newer packages hold one (SPDX 2.3, Annex D); older ones the short names that Fedora used before ("Licensing:Main" of
its wiki), with `and`, `or` and parentheses. A short name that stood for several licences (`BSD`, `LGPLv2`) stays a name
of its own: which of them it is, nobody can tell from here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from os_image_composer.ospackage.inventory import Licence
from os_image_composer.ospackage.licences import licence_reference, valid_expression

_GNU = re.compile(r"(A|L)?GPL(?:v([123](?:\.\d)?))?(\+?)")
_FIRST = {"": "1.0", "L": "2.0", "A": "1.0"}
_OTHERS = {
    "asl 1.0": "Apache-1.0",
    "asl 1.1": "Apache-1.1",
    "asl 2.0": "Apache-2.0",
    "artistic 2.0": "Artistic-2.0",
    "boost": "BSL-1.0",
    "cc0": "CC0-1.0",
    "eupl 1.2": "EUPL-1.2",
    "mplv1.0": "MPL-1.0",
    "mplv1.1": "MPL-1.1",
    "mplv2.0": "MPL-2.0",
    "ofl": "OFL-1.1",
    "zplv2.1": "ZPL-2.1",
}
_TOKEN = re.compile(r"\(|\)|,|[^\s(),]+")
_MAX = 4096  # characters of a tag, and of what is made of one
_NO_TEXT = "The package names this licence and does not say more in its License tag."


def read_licence(tag: str) -> Licence | None:
    """None where the tag says nothing."""
    text = " ".join(tag.split())[:_MAX]
    if not text or text == "(none)":
        return None
    used: dict[str, str] = {}

    def reference(name: str) -> str:
        identifier = licence_reference(name, _NO_TEXT)
        used[identifier] = f"{name}\n\n{_NO_TEXT}"
        return identifier

    try:
        expression = _Reader(_TOKEN.findall(text), reference).read()
    except ValueError:
        used.clear()
        expression = reference(text)
    return Licence(expression, used)


class _Reader:
    """`or` of `and` of names and parentheses; a comma is an `and`."""

    def __init__(self, tokens: list[str], reference: Callable[[str], str]) -> None:
        self._tokens, self._reference, self._depth = tokens, reference, 0

    def read(self) -> str:
        found = self._any()
        if self._tokens:
            raise ValueError(self._tokens[0])
        return found

    def _any(self) -> str:
        parts = [self._all()]
        while self._takes("or"):
            parts.append(self._all())
        return " OR ".join(dict.fromkeys(parts))

    def _all(self) -> str:
        parts = [self._one()]
        while self._takes("and", ","):
            self._takes("and")  # `a, and b`
            parts.append(self._one())
        return " AND ".join(dict.fromkeys(parts))

    def _one(self) -> str:
        if self._takes("("):
            self._depth += 1
            if self._depth > 16:
                raise ValueError("too deep")
            inner = self._any()
            if not self._takes(")"):
                raise ValueError("not closed")
            self._depth -= 1
            return f"({inner})" if " OR " in inner else inner
        words = []
        while self._tokens and self._tokens[0].lower() not in ("and", "or", ",", "(", ")"):
            words.append(self._tokens.pop(0))
        if not words:
            raise ValueError("no name")
        return self._name(" ".join(words))

    def _takes(self, *words: str) -> bool:
        if self._tokens and self._tokens[0].lower() in words:
            self._tokens.pop(0)
            return True
        return False

    def _name(self, name: str) -> str:
        gnu = _GNU.fullmatch(name)
        if gnu and not (gnu[1] == "L" and gnu[2] == "2"):
            family = f"{gnu[1] or ''}GPL"
            if gnu[2] is None:
                return f"{family}-{_FIRST[gnu[1] or '']}-or-later" if gnu[3] else self._reference(name)
            number = gnu[2] if "." in gnu[2] else f"{gnu[2]}.0"
            name = f"{family}-{number}-{'or-later' if gnu[3] else 'only'}"
        known = valid_expression(_OTHERS.get(name.lower(), name))
        return known if known and "LicenseRef-" not in known else self._reference(name)
