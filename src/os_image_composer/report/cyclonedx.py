"""The bill of materials as CycloneDX 1.6 in JSON. Source: CycloneDX specification 1.6 and its JSON schema."""

from __future__ import annotations

import json
from typing import Any

from os_image_composer.report.bill import TOOL, Bill, Component

_IMAGE = "image"


def cyclonedx_json(bill: Bill) -> str:
    """Equal bills give equal text."""
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{bill.uuid}",
        "version": 1,
        "metadata": {
            "timestamp": bill.timestamp,
            "tools": {"components": [{"type": "application", "name": TOOL}]},
            "component": {
                "type": "operating-system",
                "bom-ref": _IMAGE,
                "name": bill.image,
                "version": bill.version,
                "description": f"{bill.os}, {bill.arch}",
            },
        },
        "components": [_component(c) for c in bill.components],
        "dependencies": [
            {"ref": _IMAGE, "dependsOn": [c.purl for c in bill.components]},
            *({"ref": c.purl, "dependsOn": list(c.depends)} for c in bill.components),
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _component(component: Component) -> dict[str, Any]:
    value: dict[str, Any] = {
        "type": "library",
        "bom-ref": component.purl,
        "name": component.name,
        "version": component.version,
        "purl": component.purl,
    }
    if component.supplier is not None:
        value["supplier"] = {"name": component.supplier.name}
        if component.supplier.email:
            value["supplier"]["contact"] = [{"email": component.supplier.email}]
    if component.sha256 is not None:
        value["hashes"] = [{"alg": "SHA-256", "content": component.sha256}]
    if component.licence:
        value["licenses"] = [{"expression": component.licence, "acknowledgement": "declared"}]
    references = [{"type": "website", "url": component.homepage}] if component.homepage else []
    if component.path is not None:  # relative (RFC 3986 §4.2) to whatever mirror serves the repository
        references.append({"type": "distribution", "url": component.url or component.path})
    if references:
        value["externalReferences"] = references
    value["properties"] = [
        {"name": f"{TOOL}:arch", "value": component.arch},
        {"name": f"{TOOL}:source", "value": f"{component.source} {component.source_version}"},
    ]
    return value
