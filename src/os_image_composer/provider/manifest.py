"""The manifest: what an image is and what it was made from, as JSON. Only its `build` section tells of the one build
that wrote it; everything else is the same for the same lock and template."""

from __future__ import annotations

import json
from typing import Any

from os_image_composer import __version__
from os_image_composer.build.canonical import sha256_text
from os_image_composer.build.execute import Outcome
from os_image_composer.config.spec import ImageSpec
from os_image_composer.ospackage.lock import Lock, dump_lock

MANIFEST_VERSION = 1


def manifest(spec: ImageSpec, lock: Lock, outcome: Outcome, file_name: str, seconds: float) -> dict[str, Any]:
    """Plain values; sizes in bytes, times in seconds."""
    image = lock.sets["image"]
    return {
        "manifestVersion": MANIFEST_VERSION,
        "canonical": True,
        "image": {
            "name": spec.name,
            "version": spec.version,
            "file": file_name,
            "size": outcome.final.size,
            "sha256": outcome.final.digest,
        },
        "target": {"os": spec.target.os, "dist": spec.target.dist, "arch": spec.target.arch},
        "lock": {"sha256": sha256_text(dump_lock(lock)), "sourceDateEpoch": lock.source_date_epoch},
        "packages": [
            {"name": p.name, "version": p.version, "arch": p.arch, "sha256": p.sha256} for p in sorted(image.packages())
        ],
        "steps": [{"name": s.name, "id": s.id} for s in outcome.steps],
        "build": {
            "tool": f"os-image-composer {__version__}",
            "seconds": round(seconds, 1),
            "steps": [{"name": s.name, "outcome": s.outcome, "seconds": round(s.seconds, 2)} for s in outcome.steps],
        },
    }


def dump_manifest(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1) + "\n"
