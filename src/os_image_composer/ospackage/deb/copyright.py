"""The licence of a package, from its copyright file where a machine can read it.

Source: "Machine-readable debian/copyright file", version 1.0 (DEP-5): paragraphs, §7 "License specification" (short
names, `and`, `or`, comma). Files that people wrote by hand break its rules in small ways, so this reads loosely and
promises little: what has no known short name is a `LicenseRef` with its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from os_image_composer.ospackage.inventory import Licence
from os_image_composer.ospackage.licences import licence_reference, spdx_identifier

_FORMAT = re.compile(r"(?i)^format(-specification)?:.*(copyright-format|dep-?5|dep\.debian)")
_FIELD = re.compile(r"^([A-Za-z][A-Za-z0-9-]*):[ \t]*(.*)$")
_GNU = re.compile(r"(?i)^(a|l)?gpl(?:[-_ ]?v?(\d)(?:\.(\d+))?)?(?:\.0)?(\+|-or-later|-only)?$")
_GFDL = re.compile(r"(?i)^gfdl(-niv)?-v?(\d\.\d)(\+|-or-later|-only)?$")
# §7.1: names that mean a licence of SPDX's list by another name.
_OTHERS = {
    "expat": "MIT",
    "apache-2": "Apache-2.0",
    "artistic": "Artistic-1.0",
    "artistic-2": "Artistic-2.0",
    "bsd-2-clauses": "BSD-2-Clause",
    "bsd-3-clauses": "BSD-3-Clause",
    "cc0": "CC0-1.0",
    "mpl-2": "MPL-2.0",
    "psf-2": "PSF-2.0",
    "python-2": "Python-2.0",
    "zlib/libpng": "Zlib",
}
_MAX_TEXT = 64 << 10
_NO_TEXT = "The copyright file of the package has no text for this name."


def read_licence(content: bytes) -> Licence | None:
    """All licences that its Files paragraphs name, joined by AND; None where the file is not in this format."""
    parts = list(_paragraphs(content.decode("utf-8", "replace")))
    if not parts or not _FORMAT.match("format: " + parts[0].get("format", parts[0].get("format-specification", ""))):
        return None
    texts = {_key(p["license"]): _text(p["license"]) for p in parts[1:] if "license" in p and _text(p["license"])}
    named = [_synopsis(p["license"]) for p in parts[1:] if "files" in p and _synopsis(p.get("license", ""))]
    if not named and _synopsis(parts[0].get("license", "")):
        named = [_synopsis(parts[0]["license"])]
    used: dict[str, str] = {}

    def reference(name: str) -> str:
        text = texts.get(name.casefold(), _NO_TEXT)
        identifier = licence_reference(name, text)
        used[identifier] = text
        return identifier

    expressions = dict.fromkeys(_expression(name, reference) for name in dict.fromkeys(named))
    if not expressions:
        return None
    several = len(expressions) > 1
    joined = " AND ".join(f"({e})" if several and " OR " in e else e for e in _flat(expressions))
    return Licence(joined, used)


def _flat(expressions: Mapping[str, None]) -> list[str]:
    """The parts of all that are joined by AND anyway, each once."""
    parts: dict[str, None] = {}
    for expression in expressions:
        parts |= dict.fromkeys([expression] if " OR " in expression else expression.split(" AND "))
    return list(parts)


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        field = _FIELD.match(line)
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, ""
        elif field:
            name = field[1].lower()
            fields.setdefault(name, field[2].strip())
        elif name and line[0] in " \t":
            fields[name] += "\n" + line
    if fields:
        yield fields


def _synopsis(field: str) -> str:
    return " ".join(field.split("\n", 1)[0].split())


def _key(field: str) -> str:
    return _synopsis(field).casefold()


def _text(field: str) -> str:
    """§7: a line with a dot alone stands for an empty one."""
    lines = field.split("\n")[1:]
    return "\n".join("" if line.strip() == "." else line.strip() for line in lines).strip()[:_MAX_TEXT]


def _expression(name: str, reference: Callable[[str], str]) -> str:
    """§7.2: `and` binds closer than `or`, unless a comma comes before one of them. A name with an exception is one
    name here: what the exceptions of SPDX's list say word for word, a short name does not tell."""
    if re.search(r"(?i)\bwith\b", name):
        return reference(name)
    for separator, operator in ((r",\s*and\s+", " AND "), (r",\s*or\s+", " OR "), (r"\s+or\s+", " OR ")):
        parts = re.split(rf"(?i){separator}", name)
        if len(parts) > 1:
            inner = [_expression(part, reference) for part in parts]
            return operator.join(f"({e})" if operator == " AND " and " OR " in e else e for e in inner)
    parts = [part.strip(" ,") for part in re.split(r"(?i)\s+and\s+|\s*,\s*", name)]
    return " AND ".join(dict.fromkeys(_identifier(part, reference) for part in parts if part))


def _identifier(name: str, reference: Callable[[str], str]) -> str:
    gnu = _GNU.match(name)
    if gnu:
        family = f"{(gnu[1] or '').upper()}GPL"
        if gnu[2] is None:
            # §7.1: without a version, any; the first that there was.
            number, later = {"GPL": "1.0", "LGPL": "2.0", "AGPL": "1.0"}[family], "-or-later"
        else:
            number, later = f"{gnu[2]}.{gnu[3] or '0'}", "-or-later" if gnu[4] in ("+", "-or-later") else "-only"
        name = f"{family}-{number}{later}"
    elif gfdl := _GFDL.match(name):
        invariants = "-no-invariants" if gfdl[1] else ""
        name = f"GFDL-{gfdl[2]}{invariants}{'-or-later' if gfdl[3] in ('+', '-or-later') else '-only'}"
    return spdx_identifier(_OTHERS.get(name.casefold(), name)) or reference(name)
