"""The manifest: what an image is and what it was made from, as JSON (docs/manifest.schema.json). Only its `build`
section tells of the one build that wrote it; everything else is the same for the same lock and template.

How a boot went is not in it: that is learned later, and a manifest that was signed must not change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from os_image_composer import __version__
from os_image_composer.build.canonical import sha256_text
from os_image_composer.build.execute import Outcome
from os_image_composer.config.spec import ImageSpec
from os_image_composer.ospackage.lock import Lock
from os_image_composer.ospackage.lock_text import dump_lock
from os_image_composer.ospackage.tools_archive import FORMAT_TOOLS, TOOLS
from os_image_composer.provider.boot_keys import KnownCertificate, development_keys, development_warning
from os_image_composer.provider.interface import Preparation, PublishedFile
from os_image_composer.signing.detached import FileSigner

MANIFEST_VERSION = 2
_HIDDEN = b"(hidden)"
_TOOLS = (FORMAT_TOOLS, TOOLS)


def manifest(
    preparation: Preparation,
    outcome: Outcome,
    files: Sequence[PublishedFile],
    block_map: Mapping[str, str],
    tools: Sequence[str],
    bills: Mapping[str, str],
    enrolled: Mapping[str, str],
    signers: Sequence[FileSigner],
    seconds: float,
) -> dict[str, Any]:
    """Plain values; sizes in bytes, times in seconds. `tools` names the image tools' packages; `block_map`, `bills`
    and `enrolled` have the SHA-256 of the block map, if there is one, of each bill of materials, and of each file with
    keys to enrol, by its name beside the manifest; `signers` sign the files beside the image, this one included."""
    spec, lock, carried = preparation.spec, preparation.lock, preparation.carried
    image = lock.sets["image"]
    return {
        "manifestVersion": MANIFEST_VERSION,
        "canonical": True,
        "image": {"name": spec.name, "version": spec.version},
        "artifacts": [_artifact(file) for file in files],
        "blockMaps": _named(block_map),
        **({"carried": _named({file.name: file.sha256 for file in carried})} if carried else {}),
        "target": {"os": spec.target.os, "dist": spec.target.dist, "arch": spec.target.arch},
        "templates": [{"file": path.name, "sha256": digest} for path, digest in _templates(spec)],
        "lock": {"sha256": sha256_text(dump_lock(lock)), "sourceDateEpoch": lock.source_date_epoch},
        "packages": [
            {"name": p.name, "version": p.version, "arch": p.arch, "sha256": p.sha256} for p in sorted(image.packages())
        ],
        "sboms": _named(bills),
        **_secure_boot(preparation, enrolled),
        "signatures": [
            {"form": s.form, "name": s.name, "fingerprint": s.fingerprint, "development": s.development}
            for s in signers
        ],
        "warnings": _warnings(preparation, signers),
        "tools": _tools(lock, tools),
        "engine": preparation.plan.engine,
        "steps": [{"name": s.name, "id": s.id} for s in outcome.steps],
        "build": {
            "tool": f"os-image-composer {__version__}",
            "seconds": round(seconds, 1),
            "steps": [{"name": s.name, "outcome": s.outcome, "seconds": round(s.seconds, 2)} for s in outcome.steps],
        },
    }


def _artifact(file: PublishedFile) -> dict[str, Any]:
    artifact = file.artifact
    return {
        "file": file.path.name,
        "type": artifact.type,
        **({"subformat": artifact.subformat} if artifact.subformat else {}),
        **({"compression": artifact.compression} if artifact.compression else {}),
        "size": file.size,
        "sha256": file.sha256,
    }


def _named(digests: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"file": name, "sha256": digest} for name, digest in sorted(digests.items())]


def dump_manifest(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1) + "\n"


def _templates(spec: ImageSpec) -> list[tuple[Path, str]]:
    """The files that the request was merged from, with the SHA-256 of their bytes. Where a file holds a password, it
    is hashed with `(hidden)` in its place: the hash of a text of which only the password is unknown would let it be
    guessed."""
    secrets = [s.reveal().encode() for user in spec.users for s in (user.password, user.password_hash) if s is not None]
    found = []
    for path in sorted({Path(origin.file) for origin in spec.origins.values()}, key=lambda p: (p.name, p)):
        try:
            content = path.read_bytes()
        except OSError:
            continue  # gone since it was read; the steps' ids say what it asked for
        for secret in sorted(secrets, key=len, reverse=True):
            content = content.replace(secret, _HIDDEN) if secret else content
        found.append((path, hashlib.sha256(content).hexdigest()))
    return found


def _warnings(preparation: Preparation, signers: Sequence[FileSigner]) -> list[str]:
    """What whoever gets the image should know before they trust it."""
    keys = (*development_keys(preparation.boot_certificates), *(s.name for s in signers if s.development))
    return [development_warning(name) for name in dict.fromkeys(keys)]


def _secure_boot(preparation: Preparation, enrolled: Mapping[str, str]) -> dict[str, Any]:
    """Who signed what boots, and what is to be known of their keys."""
    certificates, said = preparation.boot_certificates, preparation.spec.secure_boot
    if certificates is None or said is None:
        return {}
    found: dict[str, Any] = {
        "secureBoot": {
            "pk": _certificate(certificates.pk),
            "kek": _certificate(certificates.kek),
            "db": _certificate(certificates.db),
            "trusted": [_certificate(one) for one in certificates.trusted],
            "enroll": said.enroll,
            "files": _named(enrolled),
        }
    }
    return found


def _certificate(known: KnownCertificate) -> dict[str, Any]:
    return {"subject": known.subject, "sha256": known.sha256, "development": known.development}


def _tools(lock: Lock, names: Sequence[str]) -> list[dict[str, str]]:
    packages = {p.name: p for found in _TOOLS if found in lock.sets for p in lock.sets[found].packages()}
    return [{"name": name, "version": packages[name].version} for name in sorted(names) if name in packages]
