"""The bill of materials as SPDX 2.3 in JSON. Source: SPDX specification 2.3 and its JSON schema."""

from __future__ import annotations

import json
import re
from typing import Any

from os_image_composer.report.bill import TOOL, Bill, Component, Supplier

_DOCUMENT = "SPDXRef-DOCUMENT"
_IMAGE = "SPDXRef-Image"
_NOTHING = "NOASSERTION"
_FOREIGN = re.compile(r"[^A-Za-z0-9.-]|-(?=x[0-9a-f]{2}-)")


def spdx_json(bill: Bill) -> str:
    """Equal bills give equal text."""
    identifiers = {c.purl: _identifier(c) for c in bill.components}
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT,
        "name": f"{bill.image}-{bill.version}",
        "documentNamespace": f"urn:uuid:{bill.uuid}",
        "creationInfo": {"created": bill.timestamp, "creators": [f"Tool: {TOOL}"]},
        "packages": [_image(bill), *(_package(c, identifiers[c.purl]) for c in bill.components)],
        "relationships": [
            _relationship(_DOCUMENT, "DESCRIBES", _IMAGE),
            *(_relationship(_IMAGE, "CONTAINS", identifiers[c.purl]) for c in bill.components),
            *(
                _relationship(identifiers[c.purl], "DEPENDS_ON", identifiers[purl])
                for c in bill.components
                for purl in c.depends
            ),
        ],
    }
    if bill.licence_texts:
        document["hasExtractedLicensingInfos"] = [
            {"licenseId": name, "name": _licence_name(name), "extractedText": text}
            for name, text in sorted(bill.licence_texts.items())
        ]
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _image(bill: Bill) -> dict[str, Any]:
    return {
        "SPDXID": _IMAGE,
        "name": bill.image,
        "versionInfo": bill.version,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "downloadLocation": _NOTHING,
        "filesAnalyzed": False,
        "licenseConcluded": _NOTHING,
        "licenseDeclared": _NOTHING,
        "copyrightText": _NOTHING,
        "comment": f"{bill.os}, {bill.arch}",
    }


def _package(component: Component, identifier: str) -> dict[str, Any]:
    package: dict[str, Any] = {
        "SPDXID": identifier,
        "name": component.name,
        "versionInfo": component.version,
        "downloadLocation": component.url or _NOTHING,
        "filesAnalyzed": False,
        # What the package says. What the files in it really are, nobody has looked at here.
        "licenseConcluded": _NOTHING,
        "licenseDeclared": component.licence or _NOTHING,
        "copyrightText": _NOTHING,
        "sourceInfo": f"built from source package {component.source} {component.source_version}",
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": component.purl,
            }
        ],
    }
    if component.path is not None:
        package["packageFileName"] = component.path
    if component.supplier is not None:
        package["supplier"] = _supplier(component.supplier)
    if component.homepage:
        package["homepage"] = component.homepage
    if component.sha256 is not None:
        package["checksums"] = [{"algorithm": "SHA256", "checksumValue": component.sha256}]
    return package


def _supplier(supplier: Supplier) -> str:
    """§7.5. Parentheses are for the address, so a name keeps none."""
    kind = "Person" if supplier.is_person else "Organization"
    name = supplier.name.replace("(", "").replace(")", "")
    return f"{kind}: {name} ({supplier.email})" if supplier.email else f"{kind}: {name}"


def _identifier(component: Component) -> str:
    """§3.2: letters, digits, dots and hyphens; every other character by its number, and so a hyphen where it would look
    like the start of one, so that no two names meet."""
    text = f"{component.name}-{component.version}-{component.arch}"
    return "SPDXRef-Package-" + re.sub(
        r"[^A-Za-z0-9.-]|-(?=x[0-9a-f]{2}-)", lambda match: f"-x{ord(match[0]):02x}-", text
    )


def _licence_name(reference: str) -> str:
    return reference.removeprefix("LicenseRef-").rsplit("-", 1)[0]


def _relationship(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
